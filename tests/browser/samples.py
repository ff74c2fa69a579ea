"""Runs made by hand: every status, a divergence, and names that would be markup if anything let them."""

from conformance.record import Check, Failure, GenerationRecord, Record, StageRecord
from conformance.reports.dashboard import Run

IMAGE = "<img src=x onerror=window.hacked=1>"
SCRIPT = "</script><script>window.hacked=2</script>"
TEMPLATE = "{{7*7}}${7*7}"
HOSTILE = (IMAGE, SCRIPT, TEMPLATE)

VERSIONS = {"torch": "2.13.0+cpu", "transformers": "5.23.0", "executorch": "1.4.1"}
DIVERGED = "alpha-1b@xnnpack-fp32-sdpa-kv-8da4w-emb8w"


def record(model, configuration, status="pass", *, speedup=None, size=None, family=None, task="text-generation", **more):
    """A record with the figures that every page shows; ``more`` are fields of ``Record``."""
    latency = {}
    if speedup is not None:
        eager = [0.010, 0.011, 0.012]
        latency = {
            "blocks": 3,
            "threads": 1,
            "eager": {"decode_tokens_per_second": 90.9, "prefill_ms": 4.0, "load_ms": 20.0},
            "executorch": {
                "decode_tokens_per_second": 90.9 * speedup,
                "decode_speedup": speedup,
                "prefill_ms": 2.0,
                "prefill_speedup": 2.0,
                "load_ms": 1.0,
            },
            "samples": {"decode": {"eager": eager, "executorch": [value / speedup for value in eager]}},
        }
    fields = {
        "created": "2026-11-20T10:00:00+00:00",
        "scale": "twin",
        "hub_id": f"hub/{model.split('-')[0]}",
        "revision": None,
        "stages": [StageRecord(name="resolve", seconds=0.5, peak_memory_bytes=400 << 20)],
        "checks": {"export": Check(status="pass", message="a program")} if status == "pass" else {},
        "latency": latency,
        "file_bytes": size,
        "versions": VERSIONS,
        "host": {"machine": "x86_64", "processor": "a processor", "cpus": 2, "threads": 1},
    }
    return Record(
        model=model,
        configuration=configuration,
        status=status,
        family=family or model.split("-")[0],
        task=task,
        **(fields | more),
    )


def quality(kl):
    return {
        "logits": Check(status="pass", message="near the baseline", metrics={"max_abs_error": 0.07, "top1": 1.0}),
        "quality": Check(status="pass", message="against fp32", metrics={"kl_mean": kl, "sqnr_db": 22.4, "top1": 0.98}),
    }


def diverged():
    """A cell with everything that a page can show."""
    reference = [10, 11, 12, 13, 14, 15]
    return record(
        "alpha-1b",
        "xnnpack-fp32-sdpa-kv-8da4w-emb8w",
        speedup=12.0,
        size=171 << 10,
        checks=quality(4.7e-3),
        methods=["forward"],
        delegated_share=0.75,
        delegation={"delegates": 2, "delegated": {"aten_add_tensor": 6}, "undelegated": {"aten_cat_default": 2}},
        error_by_position=[1e-6, 2e-3, None, 7e-2, 1e-4],
        generations=[
            GenerationRecord(
                prompt="What grows?",
                prompt_tokens=3,
                reference=reference,
                tokens=[10, 11, 12, 99, 98],
                text=" Ferns and",
                stop="eos",
                smallest_margin=0.02,
                diverged_at=3,
                reference_pieces=[" Fer", "ns", " and", " moss", " like", " shade"],
                pieces=[" Fer", "ns", " and", IMAGE, "."],
            ),
            GenerationRecord(
                prompt="And?", prompt_tokens=1, reference=[5], tokens=[5], text="!", stop="eos", smallest_margin=1.0
            ),
        ],
        quantization={
            "layers": [
                {"name": "q_proj", "kind": "linear", "weight_bits": 4, "group_size": 32, "shape": [8, 8], "part": "decoder"}
            ],
            "skipped": [],
            "untied": True,
            "linear_share": 1.0,
        },
        cache=[{"kind": "ring", "capacity": 15, "sliding": True, "bits": 32}],
        max_seq_len=64,
        sliding_window=16,
    )


def crashed():
    return record(
        "beta-2b",
        "xnnpack-fp32",
        "crash",
        reason="run: SIGABRT",
        failure=Failure(
            stage="run",
            kind="SIGABRT",
            message="the process died",
            stderr=["Check failed: x > 0", "abort"],
            traceback="Traceback: here",
        ),
    )


def hostile():
    return record(
        IMAGE,
        "xnnpack-fp32",
        "fail",
        family=TEMPLATE,
        task=SCRIPT,
        reason=f"compare: {SCRIPT} {IMAGE} {TEMPLATE}",
        issue="javascript:window.hacked=3",
        failure=Failure(stage="compare", kind=SCRIPT, message=IMAGE, stderr=[SCRIPT, IMAGE], traceback=TEMPLATE + SCRIPT),
        checks={IMAGE: Check(status="fail", message=SCRIPT, metrics={SCRIPT: IMAGE})},
        versions={SCRIPT: IMAGE},
        host={IMAGE: SCRIPT, "threads": 1},
    )


def current():
    return Run(
        "current",
        "reports/records",
        (
            record("alpha-1b", "portable-fp32", speedup=1.5, size=500 << 10),
            record("alpha-1b", "xnnpack-fp32", speedup=8.0, size=600 << 10),
            diverged(),
            record(
                "beta-2b", "portable-fp32", "known_failure", reason="run: wrong window", issue="https://example.org/issues/1"
            ),
            crashed(),
            record("beta-2b", "xnnpack-fp32-sdpa-kv-8da4w-emb8w", "not_applicable", reason="a bias would be dropped"),
            record("delta-9b", "portable-fp32", speedup=0.7, size=700 << 10),
            record("delta-9b", "xnnpack-fp32", speedup=20.0, size=900 << 10),
            record("gamma-base", "xnnpack-fp32", speedup=5.0, size=2 << 20, task="fill-mask"),
            record("gamma-base", "xnnpack-fp16", speedup=3.0, size=1 << 20, task="fill-mask", checks=quality(1e-6)),
            hostile(),
        ),
    )


def earlier():
    """Before: beta-2b did not crash, gamma-base failed, alpha-1b was smaller, delta-9b was not there, and epsilon was."""
    when = {"created": "2026-11-01T10:00:00+00:00"}
    return Run(
        "abc123456",
        f"abc123456 {IMAGE}",
        (
            record("alpha-1b", "xnnpack-fp32", speedup=7.5, size=300 << 10, **when),
            record("beta-2b", "xnnpack-fp32", speedup=4.0, size=800 << 10, **when),
            record("gamma-base", "xnnpack-fp32", "fail", reason="compare: logits", task="fill-mask", **when),
            record("epsilon-1b", "xnnpack-fp32", speedup=2.0, size=100 << 10, **when),
        ),
    )


def many(models=300):
    return Run(
        "current",
        "many",
        tuple(
            record(f"model-{number:04}", configuration, speedup=1 + number / 100, size=100 << 10)
            for number in range(models)
            for configuration in ("portable-fp32", "xnnpack-fp32")
        ),
    )
