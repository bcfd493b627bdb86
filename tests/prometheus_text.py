"""A strict reader of Prometheus' text format 0.0.4, from its description."""

import math
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)")
SUFFIXES = ("_bucket", "_sum", "_count")
ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}


def read_labels(text):
    """Give the labels between braces, as a dict."""
    labels, at = {}, 0
    while at < len(text):
        match = LABEL.match(text, at)
        assert match, text
        assert match[1] not in labels, text
        labels[match[1]] = re.sub(r"\\.", lambda escape: ESCAPES[escape[0]], match[2])
        at = match.end()
        if at < len(text):
            assert text[at] == ",", text
            at += 1
            assert at < len(text), text
    return labels


def read_number(text):
    if text in ("+Inf", "-Inf", "NaN"):
        return float(text.replace("Inf", "inf"))
    assert re.fullmatch(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?", text), text
    return float(text)


def read_page(text):
    """Give {name: {sorted label pairs: value}} and {family: type}.

    Each family stands together, with HELP and TYPE before it and once; no sample comes twice; counters end in _total
    and are not negative; buckets are cumulative and end with +Inf, which is the count.
    """
    assert text.endswith("\n")
    samples, types, helps, family = {}, {}, set(), None
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            _, _, name, words = line.split(" ", 3)
            assert re.fullmatch(NAME, name), line
            assert words, line
            assert name not in helps, line
            helps.add(name)
        elif line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ")
            assert family in helps, line
            assert family not in types, line
            assert kind in ("counter", "gauge", "histogram")
            assert (kind == "counter") == family.endswith("_total")
            types[family] = kind
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            name, labels, value = match[1], read_labels(match[2] or ""), read_number(match[3])
            if types[family] == "histogram":
                assert name in [family + suffix for suffix in SUFFIXES], line
            else:
                assert name == family, line
            if types[family] != "gauge":
                assert value >= 0, line
            key = tuple(sorted(labels.items()))
            assert key not in samples.setdefault(name, {}), line
            samples[name][key] = value
    assert set(types) == helps
    for name in [name for name, kind in types.items() if kind == "histogram"]:
        buckets = [(read_number(dict(key)["le"]), count) for key, count in samples[f"{name}_bucket"].items()]
        assert buckets == sorted(buckets)
        assert [count for _, count in buckets] == sorted(count for _, count in buckets)
        assert buckets[-1] == (math.inf, samples[f"{name}_count"][()])
    return samples, types
