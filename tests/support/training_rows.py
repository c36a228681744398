"""Rows in the style of LLaVA-OneVision, and scripts of the models that make training data."""

from __future__ import annotations

import base64
import json
import re

from pictures import picture, png

DIRECT = "<think>grainy, yet the colour is plain</think>\n<answer>{}</answer>"
GENERATE = "<think>too dark</think>\n<image_restore>\n<think>clear now</think>\n<answer>{}</answer>"


def row(number, question="Which colour?", answer="red", image=None, **more):
    """One row with a picture of its own."""
    turns = [{"from": "human", "value": f"<image>\n{question}"}, {"from": "gpt", "value": answer}]
    image = png(picture(number)) if image is None else image
    return {"id": f"row-{number}", "image": image, "conversations": turns, **more}


def write_jsonl(path, rows):
    """Write rows as JSON lines, with pictures as base64."""
    lines = [{**r, "image": _text(r["image"])} for r in rows]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def _text(image):
    return base64.b64encode(image).decode() if isinstance(image, bytes) else image


def sent(body):
    """The text, the pictures and the system prompt of a request."""
    content = body["messages"][-1]["content"]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    text = "".join(part["text"] for part in parts if part["type"] == "text")
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    system = [m["content"] for m in body["messages"] if m["role"] == "system"]
    return text, [base64.b64decode(url.partition(",")[2]) for url in urls], "".join(system)


def trace_script(body):
    """Writes traces of the mode that it is asked for, with the right answer."""
    text, _, _ = sent(body)
    truth = re.search(r"Right answer: (.*)", text)[1]
    return (GENERATE if "<image_restore>" in text else DIRECT).format(truth)
