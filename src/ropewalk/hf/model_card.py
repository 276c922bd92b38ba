"""The model card of a folder of increments."""

from __future__ import annotations

from typing import Any

CARD = "README.md"


def model_card(record: dict[str, Any]) -> str:
    """The card of an adapter, from its ropewalk.json: the base, the increments, how to load them."""
    base, settings = record["base"], record["increments"]
    source = str(base["source"])
    public = source if source.count("/") == 1 and not source.startswith((".", "/")) else ""
    head = ["---", "library_name: ropewalk", "tags:", "- ropewalk", "- rope", "- position-increments"]
    head += [f"base_model: {public}", "base_model_relation: adapter", "---"] if public else ["---"]
    layers, trained = (
        record["layers"],
        {"lora": "a LoRA (folder `lora`)", "base": "the whole base (folder `base`)"},
    )
    rows = {
        "base": f"{base['name']} ({base['architecture']}), weights `{base['weights'][:16]}`",
        "parametrization": settings["parametrization"],
        "rows": "one for all layers"
        if settings["per"] == "shared"
        else f"one for each of {len(layers)} layers",
        "gap": settings["gap"],
        "trained together with": trained.get(record.get("requires") or "", "a frozen base"),
        "ropewalk": record["version"],
    }
    validation = record.get("provenance", {}).get("validation")
    if isinstance(validation, float):
        rows["held-out loss"] = f"{validation:.4f} nats per token, on the text that its training held out"
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    return "\n".join(
        [
            *head,
            f"\n# Position increments for {base['name']}\n",
            "Learned RoPE increments: how far each token advances the position, in each layer. They were made with ropewalk and are "
            "of use with the base model below only.\n",
            "| | |\n|---|---|",
            f"{table}\n",
            "```python\nimport huggingface_hub\nimport ropewalk\n",
            'model = ropewalk.load(huggingface_hub.snapshot_download("OWNER/NAME"))  # and base=FOLDER, if it moved',
            'print(ropewalk.trace(model, "New York"))\n```\n',
        ]
    )
