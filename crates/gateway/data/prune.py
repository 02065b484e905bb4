#!/usr/bin/env python3
"""Prunes LiteLLM's published price table to what the gateway needs.

    pip download litellm==1.109.1 --no-deps -d /tmp/litellm
    python3 prune.py /tmp/litellm/litellm-*.whl prices.json.gz

Reads `litellm/model_prices_and_context_window_backup.json` out of the wheel and keeps the models that
speak chat, responses or messages and come from the vendors in PROVIDERS. Every price becomes an integer
number of pico-dollars (1e-12 USD) per token, rounded up, so that no float is left for the gateway to read.

Output: {"source": .., "version": .., "sha256": .., "models": {name: {
    "limits": [input tokens max or null, output tokens max or null],
    "standard": [step, ..],            steps in rising order, the first from 0
    "tiers": {"priority": [step, ..]}  only where a service tier has prices of its own
}}}
step: [from this many input tokens on (exclusive), input, output, cache read, cache write, long cache write];
a price that the table does not give is null.
"""

import gzip
import hashlib
import json
import re
import sys
import zipfile
from decimal import ROUND_CEILING, Decimal

TABLE = "litellm/model_prices_and_context_window_backup.json"
MODES = {"chat", "responses"}
PROVIDERS = {
    "openai", "anthropic", "gemini", "azure", "azure_ai", "bedrock", "bedrock_converse", "vertex_ai-anthropic_models",
    "vertex_ai-language-models", "xai", "mistral", "deepseek", "moonshot", "zai", "dashscope", "groq", "cerebras",
    "openrouter", "minimax", "cohere_chat", "perplexity",
}
TIERS = ("priority", "flex", "ultrafast", "balanced")
FIELDS = {
    "input_cost_per_token": 0,
    "output_cost_per_token": 1,
    "cache_read_input_token_cost": 2,
    "cache_creation_input_token_cost": 3,
    "cache_creation_input_token_cost_above_1hr": 4,
    "cache_creation_input_token_cost_above_12hr": 4,
}
NAME = re.compile(
    r"^(?P<field>" + "|".join(sorted(FIELDS, key=len, reverse=True)) + r")"
    r"(?:_above_(?P<thousands>\d+)k_tokens)?"
    r"(?:_(?P<tier>" + "|".join(TIERS) + r"))?$"
)


def pico(usd_per_token):
    return int((Decimal(usd_per_token) * 10**12).to_integral_value(rounding=ROUND_CEILING))


def prune(entry):
    """The pruned entry, or None where the model has no price for text going in and coming out."""
    steps = {}  # (tier, threshold) -> five prices
    for key, value in entry.items():
        match = NAME.match(key)
        if not match or not isinstance(value, (Decimal, int)) or value < 0:
            continue
        tier = match["tier"] or "standard"
        threshold = int(match["thousands"] or 0) * 1000
        steps.setdefault((tier, threshold), [None] * 5)[FIELDS[match["field"]]] = pico(value)

    by_tier = {}
    for (tier, threshold), prices in sorted(steps.items()):
        by_tier.setdefault(tier, []).append([threshold] + prices)
    for tier, rows in list(by_tier.items()):
        fill_upwards(rows)
        if rows[0][0] != 0 or rows[0][1] is None or rows[0][2] is None:
            del by_tier[tier]
    if "standard" not in by_tier or by_tier["standard"][0][1:3] == [0, 0]:
        return None  # a table that says "free" mostly means "not known": never price a call at nothing
    limits = [whole(entry.get("max_input_tokens")), whole(entry.get("max_output_tokens"))]
    out = {"limits": limits, "standard": by_tier.pop("standard")}
    if by_tier:
        out["tiers"] = by_tier
    return out


def fill_upwards(rows):
    """A step that leaves a price out keeps the price of the step below it."""
    for below, row in zip(rows, rows[1:]):
        for i in range(1, 6):
            if row[i] is None:
                row[i] = below[i]


def whole(value):
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def main(wheel, target):
    with zipfile.ZipFile(wheel) as archive:
        raw = archive.read(TABLE)
        metadata = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        version = re.search(r"^Version: (.+)$", archive.read(metadata).decode(), re.M)[1]
    table = json.loads(raw, parse_float=Decimal)
    models = {}
    for name, entry in table.items():
        if entry.get("litellm_provider") in PROVIDERS and entry.get("mode") in MODES:
            pruned = prune(entry)
            if pruned:
                models[name] = pruned
    document = {
        "source": "litellm",
        "version": version,
        "sha256": hashlib.sha256(raw).hexdigest(),
        "models": dict(sorted(models.items())),
    }
    text = json.dumps(document, separators=(",", ":"))
    with open(target, "wb") as out, gzip.GzipFile(fileobj=out, mode="wb", mtime=0, compresslevel=9, filename="") as packed:
        packed.write(text.encode())
    print(f"{len(models)} models, {len(text)} bytes of JSON, version {version}")


if __name__ == "__main__":
    main(*sys.argv[1:])
