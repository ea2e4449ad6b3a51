"""The stated budget: a table takes at most four times its text in UTF-8, beside what the program itself needs."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from breakeven.data.limits import TIMES

ROWS = 250_000
FIXED = 60_000_000  # thread buffers and the like, whatever the file
CHINESE = "物流太慢了还没有发货请尽快处理质量很好下次再来退款一直没有到账号登录不上"


def _texts(seed: int = 3) -> Callable[[], str]:
    draw = random.Random(seed)
    words = "good bad film great awful shop slow fast phone screen love hate never again buy".split()  # noqa: SIM905
    return lambda: " ".join(draw.choices(words, k=8))


def plain(path: Path) -> None:
    text = _texts()
    rows = "".join(f"{row},{text()},{'ab'[row % 2]},{row % 97}.25,2024-01-{row % 28 + 1:02d}\n" for row in range(ROWS))
    path.write_text("id,text,label,amount,day\n" + rows)


def inches(path: Path) -> None:
    text = _texts()
    path.write_text("id,text,label\n" + "".join(f'{row},a 5" screen {text()},{"ab"[row % 2]}\n' for row in range(ROWS)))


def chinese(path: Path) -> None:
    draw = random.Random(5)
    rows = (f"{row:08d},{''.join(draw.choices(CHINESE, k=30))},{'好差'[row % 2]}\n" for row in range(ROWS))
    path.write_bytes(("id,text,label\n" + "".join(rows)).encode("gb18030"))


def one_emoji(path: Path) -> None:
    plain(path)
    with path.open("a") as out:
        out.write("x,🎈,a,1,2024-01-01\n")


def json_lines(path: Path) -> None:
    text = _texts()
    lines = (json.dumps({"id": row, "text": text(), "label": "ab"[row % 2], "x": row / 7}) for row in range(ROWS))
    path.write_text("\n".join(lines))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize("make", [plain, inches, chinese, one_emoji, json_lines], ids=lambda make: make.__name__)
def test_reading_stays_within_four_times_the_text(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "data"
    make(path)
    command = [sys.executable, "-m", "tests.data.memory", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    grown, rows, encoding = done.stdout.split()
    assert int(rows) >= ROWS
    size = path.stat().st_size if encoding != "gb18030" else len(path.read_text("gb18030").encode())
    assert int(grown) < TIMES * size + FIXED, f"{int(grown) / size:.1f} times the text"
