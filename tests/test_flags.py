"""The flags of every program, frozen: a command line that worked goes on working."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLAGS = {
    "trainer.main": """
        dataset data_dir columns image_size validation_examples augmentation cache
        on_bad_image accept_data_change balance model weights freeze unfreeze_at
        backbone_rate label_smoothing class_weights strategy bringup_timeout tpu_name
        virtual_devices precision jit steps_per_call gradient_dtype gradient_bucket_mib
        gradient_accumulation epochs steps optimizer learning_rate momentum schedule
        warmup_steps schedule_milestones weight_decay gradient_clip_norm ema_decay
        on_divergence max_rollbacks debug_nan early_stopping_patience run_dir resume seed
        deterministic log_every_steps evaluate_every_steps checkpoint_every_steps
        keep_checkpoints report stall_timeout profile_steps""",
    "trainer.launch": "workers max_restarts",
    "trainer.evaluate": "split dataset data_dir strategy checkpoint json",
    "trainer.predict": "top json plot invert checkpoint batch_size",
    "trainer.export": "format quantize tolerance output checkpoint data_dir calibration_examples",
    "trainer.report": "output",
    "trainer.doctor": "json probe data_dir probe_timeout",
    "trainer.submit.main": """
        cluster nodes tasks_per_node gpus_per_node cpus_per_task memory partition account time
        save_seconds max_restarts sweep dry_run image namespace volume_claim jobset""",
    "input_pipelines.inspect": """
        dataset data_dir columns image_size validation_examples augmentation seed max_images verify
        probe_seconds output json""",
    "benchmarks.main": """
        suite output models datasets contenders cases full data_dir repeats seconds dry_run strict
        find_batch""",
}


@pytest.mark.parametrize("program", FLAGS)
def test_no_flag_is_lost(program):
    """A new one is added here."""
    shown = subprocess.run(
        [sys.executable, "-m", program, "--help"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert re.findall(r"^ +--(\w+)$", shown, re.MULTILINE) == FLAGS[program].split()
