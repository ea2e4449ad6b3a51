"""What a stranger brings: two tables and a few lines of breakeven.yaml; and how to call the command.

The texts are put together from phrases, with a share of tickets that say little and a share that were filed wrongly, so
that there is something to learn and nobody is always right.
"""

from __future__ import annotations

import csv
import io
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

COMMAND = [sys.executable, "-m", "breakeven"]

CONFIG = """version: 1
product: {name: ticket-triage, task: text-classification}
collect: {source: SOURCE, fields: {inputs: [text], target: label}}
train: {candidates: [{name: majority, model: majority}]}
evaluate:
  metric: macro_f1
  payoff: {correct: 0.02, wrong: -0.10}
  machines: [{name: small, price_per_hour: 0.05, memory_gb: 4}]
  gates: {macro_f1: {min: 0.70}}
business:
  price: {per_answer: 0.004}
  customers: {start: 3, answers_each: 20000}
"""


def breakeven(
    folder: Path, *arguments: str, timeout: float = 180, before: Callable[[], object] | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The command as a person calls it, in a project folder; `before` runs in the new process (limits, masks)."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout,
        preexec_fn=before,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "160", **environment},
    )


def project(
    folder: Path, data: str | bytes | None = None, *, config: str | bytes | None = None, source: str = "data.csv"
) -> Path:
    """A project folder with a minimal file and, where given, its table."""
    folder.mkdir(parents=True, exist_ok=True)
    text = CONFIG.replace("SOURCE", source) if config is None else config
    (folder / "breakeven.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
    if data is not None:
        (folder / "data.csv").write_bytes(data.encode() if isinstance(data, str) else data)
    return folder


def table(count: int = 120) -> str:
    """A small table of two classes, no two texts alike."""
    words = ("parcel late lost driver street van door depot", "invoice wrong paid twice refund card charge bank")
    lines = []
    for number in range(count):
        said = random.Random(number).sample(words[number % 2].split(), 5)
        lines.append(f"{' '.join(said)} {number * 7919 % 10007},{('ship', 'bill')[number % 2]}")
    return "text,label\n" + "\n".join(lines) + "\n"


_QUEUES = {
    "物流": ("快递三天没有更新", "包裹显示签收但是没收到", "配送员把货放错楼了", "物流一直停在中转站", "想改收货地址"),
    "退款": ("退款什么时候到账", "商家拒绝退货申请", "钱扣了两次", "优惠没有退回来", "申请七天无理由退款"),
    "账号": ("登录收不到验证码", "账号被冻结了", "手机号换了怎么改绑", "密码忘了进不去", "实名认证失败"),
    "质量": ("收到的杯子是碎的", "衣服掉色严重", "屏幕有一道划痕", "用了两天就坏了", "和图片颜色不一样"),
    "发票": ("发票抬头开错了", "电子发票没有收到", "需要增值税专用发票", "税号填错能重开吗", "发票金额和订单对不上"),
}
_OPENINGS = ("您好,", "在吗?", "请问", "急!", "麻烦看一下,", "第二次联系了,", "")
_ENDINGS = ("谢谢", "请尽快处理", "已经等了很久", "怎么办", "订单号见上", "麻烦回复", "不然我要投诉")
_VAGUE = ("有问题,请联系我", "帮我处理一下这个订单", "还没有解决吗", "你们到底管不管")
_PLACES = ("北京市朝阳区", "上海市浦东新区", "广州市天河区", "成都市武侯区", "哈尔滨市南岗区", "石家庄市长安区")


def chinese_tickets(count: int, *, seed: int = 7) -> bytes:
    """GB18030, 12 columns, 5 queues; one ticket in twelve says little, one in twenty lies in the wrong queue."""
    draw = random.Random(seed)
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    names = "工单号,创建时间,渠道,地区,会员等级,订单号,金额,标题,内容,是否催单,满意度,队列"
    writer.writerow(names.split(","))
    queues = list(_QUEUES)
    for number in range(count):
        queue = draw.choices(queues, weights=(34, 26, 16, 14, 10))[0]
        said = _VAGUE if draw.random() < 1 / 12 else _QUEUES[queue]
        order = f"00{draw.randrange(10**14, 10**15)}"
        text = f"{draw.choice(_OPENINGS)}{draw.choice(said)},{draw.choice(_PLACES)},订单{order[-6:]}。"
        text += draw.choice(_ENDINGS)
        filed = draw.choice(queues) if draw.random() < 1 / 20 else queue
        day, hour = draw.randrange(1, 29), draw.randrange(24)
        writer.writerow(
            [
                f"{number:08d}",
                f"2026-0{draw.randrange(1, 10)}-{day:02d} {hour:02d}:{draw.randrange(60):02d}",
                draw.choice(("APP", "电话", "微信", "网页")),
                draw.choice(_PLACES),
                draw.choice(("普通", "银卡", "金卡", "")),
                order,
                f"{draw.lognormvariate(4.5, 1):.2f}",
                draw.choice(said)[:6],
                text,
                draw.choice(("是", "否")),
                draw.choice(("", "1", "2", "3", "4", "5")),
                filed,
            ]
        )
    return out.getvalue().encode("gb18030")


_DESKS = {
    "billing": ("I was charged twice for {x}", "The invoice for {x} shows the wrong amount", "Please refund my {x}"),
    "delivery": ("My {x} has not arrived", "The courier left the {x} at a neighbour", "Where is my {x}?"),
    "technical": ("The {x} does not start any more", "I cannot pair the {x} with my phone", "Error 41 on the {x}"),
}
_THINGS = ("headset", "kettle", "router", "lamp", "keyboard", "reader", "blender", "camera", "speaker", "monitor")
_ASIDES = (
    "It is the second time.",
    "I wrote last week, too.",
    "Please answer soon.",
    "Thanks in advance.",
    "Not amused.",
)


def english_tickets(count: int, *, seed: int = 11) -> str:
    """CSV: subject, body, queue; three desks, a few rows filed wrongly."""
    draw = random.Random(seed)
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(["subject", "body", "queue"])
    for number in range(count):
        desk = draw.choice(list(_DESKS))
        thing = draw.choice(_THINGS)
        first = draw.choice(_DESKS[desk]).format(x=thing)
        body = f"{first}, order {draw.randrange(10**5, 10**6)}. {draw.choice(_ASIDES)} {draw.choice(_ASIDES)}"
        filed = draw.choice(list(_DESKS)) if number % 15 == 0 else desk
        writer.writerow([f"{thing}: {draw.choice(('help', 'question', 'problem'))}", body, filed])
    return out.getvalue()
