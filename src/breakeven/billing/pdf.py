"""The document in print: A4, fonts embedded, and the EN 16931 record inside where there is one (Factur-X, PDF/A-3).

The bytes depend on the document, the fonts of the machine and the versions of the packages: never on the clock.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from breakeven.billing.fonts import Faces
from breakeven.billing.shown import Shown
from breakeven.errors import need_package

if TYPE_CHECKING:
    from reportlab.platypus import Flowable

_INK, _SOFT, _LINE, _WASH = "#1d2430", "#5b6472", "#d8dde4", "#f5f7f9"
_WIDTH = 170  # mm of text on A4
_FRAME = 6  # points that ReportLab keeps free inside its frame
_LONGEST = 400  # characters of a name in a table cell: a cell must fit on a page


def to_pdf(document: Mapping[str, Any], xml: bytes | None = None, *, font: str | None = None) -> bytes:
    """The print. With `xml` it is attached as `factur-x.xml`. Raises EnvironmentFault where a package is missing."""
    try:
        import reportlab  # noqa: F401
        from fontTools import ttLib  # noqa: F401
        from pypdf import PdfWriter  # noqa: F401
    except ModuleNotFoundError as error:
        raise need_package(str(error.name), "invoices", purpose="PDF invoices") from error
    page = _Print(document, font)
    plain = _archival(page.draw(), document)
    return _sealed(plain, document) if xml is None else _with_xml(plain, xml, document)


class _Print:
    """One document on paper."""

    def __init__(self, document: Mapping[str, Any], font: str | None) -> None:
        self.document = document
        self.shown = Shown(document)
        self.faces = Faces(_texts(self.shown), language=self.shown.language, declared=font)

    def draw(self) -> bytes:
        from reportlab.lib.pagesizes import A4
        from reportlab.lib.units import mm
        from reportlab.platypus import SimpleDocTemplate

        sink = io.BytesIO()
        template = SimpleDocTemplate(
            sink, pagesize=A4, leftMargin=20 * mm - _FRAME, rightMargin=20 * mm - _FRAME,
            topMargin=18 * mm, bottomMargin=24 * mm,
            title=f"{self.shown.title} {self.document['number'] or ''}".strip(),
            author=(self.document["seller"] or {}).get("name", ""), invariant=1,
        )  # fmt: skip
        counted = _Pages(self)
        template.build(self.story(), onFirstPage=counted, onLaterPages=counted, canvasmaker=counted.canvas)
        return sink.getvalue()

    def text(self, said: str, *, size: float = 9, bold: bool = False, color: str = _INK, align: str = "left") -> Any:
        """A paragraph that wraps anywhere, as Chinese and very long names need it."""
        from reportlab.lib.enums import TA_LEFT, TA_RIGHT
        from reportlab.lib.styles import ParagraphStyle
        from reportlab.platypus import Paragraph

        style = ParagraphStyle(
            "t", fontName="Vera", fontSize=size, leading=size * 1.42, textColor=color, splitLongWords=1,
            alignment=TA_RIGHT if align == "right" else TA_LEFT,
            wordWrap="CJK" if _wraps_anywhere(said) else None,
        )  # fmt: skip
        short = said if len(said) <= _LONGEST else said[: _LONGEST - 1] + "…"
        return Paragraph(self.faces.markup(short, bold=bold), style)

    def story(self) -> list[Flowable]:
        from reportlab.lib.units import mm
        from reportlab.platypus import Spacer

        parts = [self._head(), Spacer(1, 9 * mm), self._parties(), Spacer(1, 9 * mm), self._lines(),
                 Spacer(1, 4 * mm), self._totals()]  # fmt: skip
        if payment := self.shown.payment():
            parts += [Spacer(1, 8 * mm), self._payment(payment)]
        parts.append(Spacer(1, 7 * mm))
        for remark in self.shown.remarks():
            parts += [self.text(remark, size=8, color=_SOFT), Spacer(1, 1 * mm)]
        parts += [Spacer(1, 2 * mm), self.text(self.shown.proof(), size=6.5, color=_SOFT)]
        return parts

    def _table(self, rows: list[list[Any]], widths: list[float], style: list[Any], **options: Any) -> Flowable:
        from reportlab.lib.units import mm
        from reportlab.platypus import Table

        plain = [("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0),
                 ("RIGHTPADDING", (0, 0), (-1, -1), 0), ("FONTNAME", (0, 0), (-1, -1), "Vera")]  # fmt: skip
        return Table(rows, colWidths=[width * mm for width in widths], style=[*plain, *style], **options)

    def _head(self) -> Flowable:
        sender = self.shown.address(self.document["seller"]) or [""]
        left = [self.text(sender[0], size=12, bold=True)]
        left += [self.text(line, size=8, color=_SOFT) for line in sender[1:]]
        color = _INK if self.document["number"] else "#a04a00"
        return self._table([[left, self.text(self.shown.title, size=18, bold=True, align="right", color=color)]],
                           [95, 75], [])  # fmt: skip

    def _parties(self) -> Flowable:
        to = self.shown.address(self.document["buyer"])
        left = [self.text(self.shown.word("invoice-word-to"), size=8, color=_SOFT), self.text(to[0], bold=True)]
        left += [self.text(line) for line in to[1:]]
        facts = [[self.text(label, size=8, color=_SOFT), self.text(said, size=8.5, align="right")]
                 for label, said in self.shown.facts()]  # fmt: skip
        slim = [("TOPPADDING", (0, 0), (-1, -1), 0), ("BOTTOMPADDING", (0, 0), (-1, -1), 1)]
        return self._table([[left, "", self._table(facts, [30, 55], slim)]], [75, 10, 85], [])

    def _lines(self) -> Flowable:
        word, currency = self.shown.word, self.document["currency"]
        heads = ["#", word("invoice-word-item"), word("invoice-word-quantity"),
                 word("invoice-word-price", currency=currency),
                 word("invoice-word-amount", currency=currency)]  # fmt: skip
        rows = [[self.text(head, size=7.5, color=_SOFT, align="right" if at > 1 else "left")
                 for at, head in enumerate(heads)]]  # fmt: skip
        for row in self.shown.rows():
            name = [self.text(row.name)] + ([self.text(row.detail, size=7.5, color=_SOFT)] if row.detail else [])
            numbers = [self.text(said, align="right") for said in (row.quantity, row.price, row.amount)]
            rows.append([self.text(row.number), name, *numbers])
        if len(rows) == 1:
            rows.append(["", self.text(word("invoice-word-nothing"), color=_SOFT), "", "", ""])
        style = [("LINEBELOW", (0, 0), (-1, 0), 1, _INK), ("LINEBELOW", (0, 1), (-1, -1), 0.4, _LINE),
                 ("TOPPADDING", (0, 1), (-1, -1), 4), ("BOTTOMPADDING", (0, 0), (-1, -1), 5),
                 ("RIGHTPADDING", (1, 0), (3, -1), 6)]  # fmt: skip
        return self._table(rows, self._columns(), style, repeatRows=1, splitInRow=1)

    def _columns(self) -> list[float]:
        """Widths (mm): numbers as wide as they need to stand in one line, the name what is left."""
        from reportlab.lib.units import mm
        from reportlab.pdfbase.pdfmetrics import stringWidth

        rows = self.shown.rows()
        needs = [
            max((stringWidth(getattr(row, part), "Vera", 9) / mm for row in rows), default=0.0) + 5
            for part in ("quantity", "price", "amount")
        ]
        quantity, price, amount = (min(max(need, least), 48) for need, least in zip(needs, (32, 33, 35), strict=True))
        return [8, _WIDTH - 8 - quantity - price - amount, quantity, price, amount]

    def _totals(self) -> Flowable:
        rows, style = [], [("TOPPADDING", (0, 0), (-1, -1), 1), ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
                           ("NOSPLIT", (0, 0), (-1, -1))]  # fmt: skip
        for at, (label, amount, strong) in enumerate(self.shown.totals()):
            size = 10.5 if strong else 9
            rows.append(["", self.text(label, size=size, bold=strong),
                         self.text(amount, size=size, bold=strong, align="right")])  # fmt: skip
            if strong:
                style += [("LINEABOVE", (1, at), (-1, at), 1, _INK), ("TOPPADDING", (0, at), (-1, at), 5)]
        return self._table(rows, [_WIDTH - 105, 55, 50], style)

    def _payment(self, payment: list[tuple[str, str]]) -> Flowable:
        rows = [[self.text(label, size=8, color=_SOFT), self.text(said, size=8.5)] for label, said in payment]
        style = [("BACKGROUND", (0, 0), (-1, -1), _WASH), ("LEFTPADDING", (0, 0), (0, -1), 8),
                 ("TOPPADDING", (0, 0), (-1, 0), 7), ("TOPPADDING", (0, 1), (-1, -1), 0),
                 ("BOTTOMPADDING", (0, -1), (-1, -1), 8), ("NOSPLIT", (0, 0), (-1, -1))]  # fmt: skip
        return self._table(rows, [40, _WIDTH - 40], style)


class _Pages:
    """The foot of every page: who sells, and page n of m, which is known only at the end."""

    def __init__(self, paper: _Print) -> None:
        self.paper = paper

    def __call__(self, canvas: Any, template: Any) -> None:
        from reportlab.lib.colors import HexColor
        from reportlab.lib.units import mm

        facts = " · ".join(self.paper.shown.seller_facts())
        foot = self.paper.text(facts, size=7, color=_SOFT)
        _, height = foot.wrap(150 * mm, 12 * mm)
        canvas.setStrokeColor(HexColor(_LINE))
        canvas.setLineWidth(0.4)
        canvas.line(20 * mm, 18 * mm, 190 * mm, 18 * mm)
        foot.drawOn(canvas, 20 * mm, 16 * mm - height)

    def canvas(self, *arguments: Any, **options: Any) -> Any:
        """A canvas that keeps its pages until their number is known."""
        from reportlab.lib.colors import HexColor
        from reportlab.lib.units import mm
        from reportlab.pdfgen.canvas import Canvas

        class Numbered(Canvas):  # type: ignore[misc,unused-ignore]
            def __init__(self, *parts: Any, **named: Any) -> None:
                super().__init__(*parts, **named)
                self._kept: list[dict[str, Any]] = []

            def showPage(self) -> None:  # noqa: N802  ReportLab's name
                self._kept.append(dict(self.__dict__))
                self._startPage()

            def save(self) -> None:
                for number, page in enumerate(self._kept, start=1):
                    self.__dict__.update(page)
                    self.setFont("Vera", 7)
                    self.setFillColor(HexColor(_SOFT))
                    self.drawRightString(190 * mm, 13.5 * mm, f"{number} / {len(self._kept)}")
                    super().showPage()
                super().save()

        return Numbered(*arguments, **{**options, "invariant": 1, "pageCompression": 1, "initialFontName": "Vera"})


def _texts(shown: Shown) -> list[str]:
    """Everything that will be set."""
    rows = [part for row in shown.rows() for part in (row.number, row.name, row.detail, row.quantity, row.price, row.amount)]  # noqa: E501  # fmt: skip
    pairs = [part for pair in (*shown.facts(), *shown.payment()) for part in pair]
    totals = [part for label, amount, _ in shown.totals() for part in (label, amount)]
    document, word = shown.document, shown.word
    heads = [word(code, currency=shown.currency) for code in (
        "invoice-word-to", "invoice-word-item", "invoice-word-quantity", "invoice-word-price", "invoice-word-amount",
        "invoice-word-nothing")]  # fmt: skip
    return [
        *rows, *pairs, *totals, *heads, shown.title, shown.proof(), *shown.remarks(), *shown.seller_facts(), " · …/?",
        *shown.address(document["seller"]), *shown.address(document["buyer"]), "0123456789",
    ]  # fmt: skip


def _wraps_anywhere(text: str) -> bool:
    return any(ord(sign) >= 0x2E80 for sign in text) or any(len(word) > 24 for word in text.split())


def _archival(pdf: bytes, document: Mapping[str, Any]) -> bytes:
    """With the colour profile and the language that PDF/A asks for."""
    from pypdf import PdfReader, PdfWriter
    from pypdf.generic import ArrayObject, DictionaryObject, NameObject, NumberObject, StreamObject, TextStringObject

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf)))
    profile = StreamObject()
    profile.set_data(_srgb())
    profile[NameObject("/N")] = NumberObject(3)
    intent = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/OutputIntent"),
            NameObject("/S"): NameObject("/GTS_PDFA1"),
            NameObject("/OutputConditionIdentifier"): TextStringObject("sRGB"),
            NameObject("/Info"): TextStringObject("sRGB"),
            NameObject("/DestOutputProfile"): writer._add_object(profile),
        }
    )
    writer._root_object[NameObject("/OutputIntents")] = ArrayObject([writer._add_object(intent)])
    language = "zh-CN" if document["language"] == "zh" else document["language"]
    writer._root_object[NameObject("/Lang")] = TextStringObject(language)
    sink = io.BytesIO()
    writer.write(sink)
    return sink.getvalue()


def _srgb() -> bytes:
    """The sRGB profile, with the moment it was made taken out: bytes must not depend on the clock."""
    from PIL import ImageCms

    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes.fromhex("07ea00010001000000000000")
    profile[84:100] = bytes(16)
    return bytes(profile)


def _stamp(document: Mapping[str, Any]) -> str:
    return f"D:{document['issued'].replace('-', '')}000000Z"


def _with_xml(pdf: bytes, xml: bytes, document: Mapping[str, Any]) -> bytes:
    """Factur-X: the record attached and described. The library writes the clock's time; it becomes the document's."""
    from drafthorse.pdf import attach_xml

    seller = document["seller"]["name"]
    said = {
        "author": seller,
        "title": f"{seller}: {document['number']}",
        "subject": f"{document['kind'].replace('_', ' ')} {document['number']}",
        "creator": "breakeven",
        "producer": "breakeven",
        "keywords": "Factur-X",
    }
    return _sealed(attach_xml(pdf, xml, level="EN 16931", metadata=said, lang=document["language"]), document)


def _sealed(pdf: bytes, document: Mapping[str, Any]) -> bytes:
    """The file with nothing in it that a clock or chance has written: times and identifier are the document's."""
    from pypdf import PdfReader, PdfWriter
    from pypdf.generic import ArrayObject, ByteStringObject, NameObject, TextStringObject

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf)))
    writer.pdf_header = "%PDF-1.7"
    writer.add_metadata({"/CreationDate": _stamp(document), "/ModDate": _stamp(document), "/Producer": "breakeven"})
    root = writer._root_object
    for attached in root.get("/AF", ArrayObject()).get_object():
        parameters = attached.get_object()["/EF"]["/F"].get_object()["/Params"]
        for name in ("/CreationDate", "/ModDate"):
            parameters[NameObject(name)] = TextStringObject(_stamp(document))
    if "/Metadata" in root:
        stream = root["/Metadata"].get_object()
        times, day = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", f"{document['issued']}T00:00:00+00:00"
        stream.set_data(re.sub(times, day.encode(), stream.get_data()))
    identity = ByteStringObject(sha256(str(document.get("hash")).encode()).digest()[:16])
    writer._ID = ArrayObject((identity, identity))
    sink = io.BytesIO()
    writer.write(sink)
    return sink.getvalue()
