"""The page, the print and the EN 16931 record: true to the document, the same bytes every time, safe for any text."""

from __future__ import annotations

import datetime
import io
import re
import time
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from breakeven.billing import cii, fonts, pdf
from breakeven.billing.credit import credit_note
from breakeven.billing.document import compose
from breakeven.billing.drawn import Account, draw
from breakeven.billing.html import to_html
from breakeven.billing.settings import Buyer
from breakeven.errors import UsageError
from tests.billing.conftest import BUYER, PLAN, TODAY, office

pytest.importorskip("reportlab")
pytest.importorskip("drafthorse")
RAM = "{urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100}"
DAY = datetime.datetime(2024, 10, 5, tzinfo=datetime.UTC)
CHINESE = {"name": "北京点评科技有限公司", "street": "海淀区中关村大街1号", "postcode": "100080", "city": "北京",
           "country": "CN", "language": "zh", "tax": "export"}  # fmt: skip
EXPORT = {"export": {"category": "export", "reason": "Not taxable: customer outside the EU"}}


def made(
    plan: dict[str, Any] = PLAN, *, buyer: dict[str, Any] | None = None, quantity: int = 500, **declared: Any
) -> dict[str, Any]:
    here = office("nowhere", plan=plan, **declared)
    known = Buyer.model_validate({"since": "2024-01-01", **(BUYER if buyer is None else buyer)})
    account = Account("cus_1", "acme", DAY, known)
    row = {"time": DAY, "counted": DAY, "id": "e", "source": "s", "about": None, "rates": {},
           "quantities": {"answers": quantity}}  # fmt: skip
    drawn = draw([row], account, "2024-10", business=here.business, settings=here.settings)
    body = compose(drawn, account, here.settings, issued=TODAY)
    return {**body, "number": "INV-2024-0001", "hash": "0" * 64}


def text_of(data: bytes) -> str:
    pypdf = pytest.importorskip("pypdf")
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(data)).pages)


def ink(data: bytes) -> float:
    """The share of the first page that is not white, as a reader sees it."""
    pdfium = pytest.importorskip("pypdfium2")
    picture = pdfium.PdfDocument(data)[0].render(scale=1).to_numpy()
    return float((picture.min(axis=2) < 128).mean())


def amounts(xml: bytes, name: str) -> list[Decimal]:
    from lxml import etree

    return [Decimal(found.text) for found in etree.fromstring(xml).iter(f"{RAM}{name}")]


def test_the_page_says_everything_and_loads_nothing() -> None:
    page = to_html(made())
    for said in ("INV-2024-0001", "Reviewly GmbH", "Acme Support B.V.", "2 November 2024", "16 November 2024",
                 "DE02 1203 0000 0000 2020 51", "VAT 19% of 45.90", "54.62 EUR", "half up", "0" * 64):  # fmt: skip
        assert said in page, said
    assert not re.search(r"(src|href)=|url\(|<script|@import", page) and "default-src 'none'" in page


def test_a_chinese_customer_reads_chinese() -> None:
    page = to_html(made(buyer=CHINESE, taxes=EXPORT))
    for said in ("发票", "2024年11月2日", "合计", "四舍五入", "北京点评科技有限公司", 'lang="zh-Hans"'):
        assert said in page, said


def test_the_print_has_its_words_as_text_and_as_ink() -> None:
    data = pdf.to_pdf(made())
    text = text_of(data)
    for said in ("Invoice", "INV-2024-0001", "Acme Support B.V.", "54.62 EUR", "1 / 1"):
        assert said in text, said
    assert 0.005 < ink(data) < 0.2


def embedded(data: bytes) -> set[str]:
    """Names of the fonts whose outlines stand in the file."""
    pypdf = pytest.importorskip("pypdf")
    found = set()
    for page in pypdf.PdfReader(io.BytesIO(data)).pages:
        for font in page["/Resources"]["/Font"].get_object().values():
            inside = font.get_object()
            assert "/FontFile2" in inside["/FontDescriptor"].get_object(), f"{inside['/BaseFont']} is not embedded"
            found.add(str(inside["/BaseFont"]).split("+")[-1])
    return found


def test_chinese_text_is_printed_in_an_embedded_font() -> None:
    if not any(name in fonts._installed() for name, _ in fonts._CHINESE):
        pytest.skip("this machine has no Chinese font")
    data = pdf.to_pdf(made(buyer=CHINESE, taxes=EXPORT))
    text = text_of(data)
    for said in ("发票", "北京点评科技有限公司", "2024年11月2日", "合计"):
        assert said in text, said
    assert len(embedded(data)) >= 1 and ink(data) > 0.005


def test_without_a_chinese_font_the_readers_own_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_installed", dict)
    data = pdf.to_pdf(made(buyer=CHINESE, taxes=EXPORT))
    assert b"STSong-Light" in data and ink(data) > 0.003


def test_the_same_document_is_the_same_bytes() -> None:
    pypdf = pytest.importorskip("pypdf")
    document = made()
    xml = cii.to_xml(document)
    assert xml == cii.to_xml(document) and to_html(document) == to_html(document)
    one = pdf.to_pdf(document, xml)
    plain = pdf.to_pdf(document)
    fonts._installed.cache_clear()
    time.sleep(1.1)  # a file tells seconds
    assert one == pdf.to_pdf(document, xml) and plain == pdf.to_pdf(document)
    information = pypdf.PdfReader(io.BytesIO(one)).metadata
    assert information.creation_date_raw == information.modification_date_raw == "D:20241102000000Z"


def test_the_record_stands_inside_the_print() -> None:
    pypdf = pytest.importorskip("pypdf")
    document = made()
    xml = cii.to_xml(document)
    reader = pypdf.PdfReader(io.BytesIO(pdf.to_pdf(document, xml)))
    assert reader.attachments["factur-x.xml"] == [xml]
    described = reader.trailer["/Root"]["/Metadata"].get_object().get_data().decode()
    for said in ("<pdfaid:part>3</pdfaid:part>", "EN 16931", "factur-x.xml", "2024-11-02T00:00:00+00:00"):
        assert said in described, said
    assert reader.trailer["/Root"]["/OutputIntents"]


ZERO = [{"kind": "flat", "price": 0, "name": "free month"}]
UNTAXED = [*PLAN["fees"], {"kind": "flat", "price": 3, "name": "insurance", "taxed": False}]
CASES: dict[str, dict[str, Any]] = {
    "standard": {},
    "domestic in yuan": {"plan": {**PLAN, "currency": "CNY"}},
    "yen": {"plan": {**PLAN, "currency": "JPY"}},
    "per document": {"plan": {**PLAN, "rounding": {"per": "document"}}, "quantity": 12345},
    "inclusive": {"plan": {**PLAN, "taxes": [{"name": "VAT", "rate": "0.19", "inclusive": True}]}},
    "reverse charge": {"taxes": {"eu": {"category": "reverse_charge", "reason": "Reverse charge"}}, "tax": "eu"},
    "exempt": {"taxes": {"ex": {"category": "exempt", "reason": "Small business, § 19 UStG"}}, "tax": "ex"},
    "zero": {"taxes": {"z": {"category": "zero"}}, "tax": "z"},
    "export": {"taxes": EXPORT, "tax": "export", "buyer": CHINESE},
    "outside": {"taxes": {"o": {"category": "outside_scope", "reason": "Not subject to VAT"}}, "tax": "o"},
    "untaxed fee": {
        "plan": {**PLAN, "fees": [*PLAN["fees"], {"kind": "one_off", "price": 7, "name": "deposit", "taxed": False},
                                  {"kind": "flat", "price": 3, "name": "insurance", "taxed": False}]},
        "untaxed_reason": "Exempt under Article 135 of Directive 2006/112/EC",
    },
    "nothing to pay": {"plan": {**PLAN, "fees": ZERO}},
    "prepaid": {"plan": {**PLAN, "fees": [*PLAN["fees"], {"kind": "prepaid", "price": 100, "name": "credits"}]},
                "untaxed_reason": "Multi-purpose voucher"},
    "account without IBAN": {"seller": {"name": "A & B <Ltd>", "city": "Leeds", "country": "GB",
                             "tax_id": "GB123456789", "bank": {"account": "12345678"}}},
    "tax number only": {"seller": {"name": "Kiosk", "city": "Bonn", "country": "DE", "tax_number": "12/345/6789"}},
    "many millions": {"quantity": 10**15},
    "outside, and an untaxed fee": {"plan": {**PLAN, "fees": UNTAXED}, "tax": "o", "untaxed_reason": "Article 135",
        "taxes": {"o": {"category": "outside_scope", "reason": "Not subject to VAT"}}},
    "exempt, and an untaxed fee": {"plan": {**PLAN, "fees": UNTAXED}, "tax": "ex", "untaxed_reason": "Article 135",
        "taxes": {"ex": {"category": "exempt", "reason": "Small business, § 19 UStG"}}},
    "a tax of nothing": {"plan": {**PLAN, "taxes": [{"name": "VAT", "rate": 0}]}},
    "tiers": {"plan": {**PLAN, "fees": [{"kind": "graduated", "meter": "answers", "tiers": [
        {"up_to": 100, "price": "0.01"}, {"price": "0.0041"}]}]}},
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_records_sums_are_the_documents_to_the_cent(case: str) -> None:
    document = made(**CASES[case])
    for one in (document, *([] if case == "nothing to pay" else [_credited(document)])):
        xml = cii.to_xml(one)  # valid by the schema that the library brings, else an error
        assert amounts(xml, "GrandTotalAmount") == [Decimal(one["total"]["amount"])]
        assert amounts(xml, "TaxTotalAmount") == [Decimal(one["tax"]["amount"])]
        assert amounts(xml, "DuePayableAmount") == [Decimal(one["due"]["amount"])]
        lines = sum(amounts(xml, "LineTotalAmount")[:-1])  # the last is the sum of the others
        taken = sum(amounts(xml, "AllowanceTotalAmount"), Decimal(0))
        assert lines == amounts(xml, "LineTotalAmount")[-1]
        assert lines - taken == Decimal(one["subtotal"]["amount"])


def _credited(document: dict[str, Any]) -> dict[str, Any]:
    body = credit_note(document, [], lines=None, share=Fraction(1), reason="Outage", series="CN", issued=TODAY)
    return {**body, "number": "CN-2024-0001", "hash": "1" * 64}


@pytest.mark.slow
def test_every_record_passes_the_rules_of_en_16931(tmp_path: Path) -> None:
    """By the norm's own Schematron, as the factur-x package brings it; it also has the newer schema."""
    facturx, saxon = pytest.importorskip("facturx"), pytest.importorskip("saxonche")
    rules = Path(facturx.__file__).parent / "xsd_and_schematron" / "facturx-en16931" / "FACTUR-X_EN16931.xslt"
    with saxon.PySaxonProcessor(license=False) as processor:
        sheet = processor.new_xslt30_processor().compile_stylesheet(stylesheet_file=str(rules))
        for case, declared in CASES.items():
            document = made(**declared)
            for one in (document, *([] if case == "nothing to pay" else [_credited(document)])):
                path = tmp_path / "record.xml"
                path.write_bytes(cii.to_xml(one))
                facturx.xml_check_xsd(path.read_bytes(), flavor="factur-x", level="en16931")
                found = sheet.transform_to_string(source_file=str(path))
                failed = re.findall(r"<svrl:failed-assert.*?</svrl:failed-assert>", found, re.DOTALL)
                assert not failed, (case, one["kind"], [re.sub(r"<[^>]+>|\s+", " ", rule) for rule in failed])


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"seller": {"name": "A", "city": "B", "country": "DE"}}, r"billing\.seller\.tax_id"),
        ({"seller": {"name": "A", "tax_id": "DE123456789"}}, r"billing\.seller\.city"),
        ({"seller": None}, r"billing\.seller"),
        ({"buyer": {}}, "breakeven invoice customer 'acme' --city"),
        ({"plan": {**PLAN, "taxes": []}}, r"billing\.taxes"),
        ({"plan": {**PLAN, "taxes": [{"rate": "0.05"}, {"name": "local", "rate": "0.07"}]}}, "one tax a line"),
        ({"plan": {**PLAN, "currency": "KWD"}}, "KWD has more"),
        ({"plan": {**PLAN, "order": ["minimum", "tax", "discounts", "coupons", "credits"]}}, "after tax"),
        ({"plan": {**PLAN, "fees": [{"kind": "flat", "price": 1, "taxed": False}]}}, r"billing\.untaxed_reason"),
    ],
)
def test_what_the_norm_needs_and_is_missing_is_named(declared: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        cii.to_xml(made(**declared))
    assert any(re.search(said, str(error)) for error in (caught.value, *caught.value.more))


STRANGE = "<b>&amp;\"'</b> ${7*7} {{7*7}} €uro Ωμέγα Привет 🧾 ‮abc " + "W" * 120


def test_strange_characters_and_long_names_harm_no_form() -> None:
    from lxml import etree

    strange = {**BUYER, "name": STRANGE, "street": "]]><!--"}
    plan = {**PLAN, "fees": [{"kind": "flat", "price": 1, "name": STRANGE}, {"kind": "per_unit", "price": "0.1"}]}
    document = made(plan, buyer={key: value for key, value in strange.items() if value.isprintable()})
    document = {**document, "buyer": {**document["buyer"], "name": STRANGE}}
    page = to_html(document)
    assert "<b>&amp;" not in page and "&lt;b&gt;&amp;amp;" in page and "49 " not in page.split("{{7*7}}")[1][:5]
    names = [found.text for found in etree.fromstring(cii.to_xml(document)).iter(f"{RAM}Name")]
    assert names.count(STRANGE) == 2
    data = pdf.to_pdf(document, cii.to_xml(document))
    assert "<b>&amp;" in text_of(data) and "WWWWWWWW" in text_of(data)


def test_hundreds_of_lines_run_over_pages_that_are_counted() -> None:
    plan = {**PLAN, "fees": [{"kind": "flat", "price": number, "name": f"fee {number} " + "x" * 250}
                             for number in range(150)]}  # fmt: skip
    data = pdf.to_pdf(made(plan))
    text = text_of(data)
    pages = int(re.search(r"1 / (\d+)", text).group(1))  # type: ignore[union-attr]
    assert pages > 4 and f"{pages} / {pages}" in text and "fee 149" in text


def test_amounts_beyond_a_trillion_keep_their_cents() -> None:
    document = made({**PLAN, "fees": [{"kind": "per_unit", "price": "987654.32"}]}, quantity=10**9 + 7)
    assert document["lines"][0]["amount"] == "987654326913580.24"
    assert "987,654,326,913,580.24" in to_html(document)
    assert "987,654,326,913,580.24" in text_of(pdf.to_pdf(document))
    assert amounts(cii.to_xml(document), "GrandTotalAmount") == [Decimal(document["total"]["amount"])]


@pytest.mark.parametrize(("currency", "total"), [("JPY", "55"), ("KWD", "54.621"), ("EUR", "54.62")])
def test_currencies_have_their_own_decimals(currency: str, total: str) -> None:
    assert made({**PLAN, "currency": currency})["total"]["amount"] == total


def test_a_font_that_is_none_is_told(tmp_path: Path) -> None:
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"\x00\x01\x00\x00 no font at all")
    for path in (broken, tmp_path / "missing.ttf"):
        with pytest.raises(UsageError, match=r"cannot be used as the font of a PDF.*billing\.font"):
            pdf.to_pdf(made(), font=str(path))
