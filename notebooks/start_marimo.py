# /// script
# requires-python = ">=3.11"
# dependencies = ["marimo", "ropewalk[torch]"]
# ///
"""ropewalk in marimo: type a sentence, choose a model and a layer. Run it with: marimo edit notebooks/start_marimo.py"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium")


@app.cell
def _():
    import marimo as mo

    import ropewalk

    return mo, ropewalk


@app.cell
def _(mo):
    mo.md("""
    # How far apart does a model think its tokens are?

    Each row below is one layer. A character stands at the position that this layer gives it. The darker the gap before it,
    the wider it is against the mean of the row. The bundled models are small: compare patterns, and do not conclude from one
    sentence.
    """)
    return


@app.cell
def _(mo):
    text = mo.ui.text(value="The old bridge over New York was closed.", label="Text", full_width=True)
    name = mo.ui.dropdown(["per-layer", "shared"], value="per-layer", label="Model")
    mo.vstack([text, name])
    return name, text


@app.cell
def _(name, ropewalk):
    model = ropewalk.load(name.value)
    return (model,)


@app.cell
def _(model, ropewalk, text):
    trace = ropewalk.trace(model, text.value or " ")
    trace
    return (trace,)


@app.cell
def _(mo, trace):
    layer = mo.ui.slider(0, len(trace.rows) - 1, label="Row")
    layer
    return (layer,)


@app.cell
def _(layer, mo, trace):
    increments = trace.increments[layer.value]
    cells = sorted(trace.cells(), key=lambda cell: -increments[cell.start])
    mo.ui.table(
        [
            {
                "character": cell.text,
                "token": cell.start,
                "gap before it": round(float(increments[cell.start]), 3),
            }
            for cell in cells[:10]
        ],
        selection=None,
        label=f"The ten widest gaps of row {trace.rows[layer.value]}",
    )
    return


if __name__ == "__main__":
    app.run()
