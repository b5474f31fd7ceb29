"""``MODEL_CARD.md`` of a bundle: what is inside, for which device, and the recogniser's own card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from export.bundle import ArtifactEntry, ManifestContent

__all__ = ["render"]


def render(content: ManifestContent, entries: Sequence[ArtifactEntry], card: str, notes: Sequence[str],
           needs: Mapping[str, str]) -> str:
    """The card as Markdown.

    Args:
        card: the recogniser's own card, appended when there is one.
        notes: of the target.
        needs: what the device must have: package -> how it gets there.
    """
    window = content.window
    lines = [
        f"# {content.name} for {content.target}",
        "",
        f"Recognises {len(content.labels)} actions of up to {window.persons} person(s). Feed metres and confidences of "
        f"{content.topology.name} skeletons ({len(content.topology.joints)} joints), {window.frames} frames at "
        f"{window.rate_hz:g} Hz, a new window every {window.hop} frames; read `probabilities` and `embedding`. "
        "Everything in between is inside the artifacts. Frames not yet seen and joints not seen have confidence 0.",
        *_steps(content),
        "",
        "| artifact | precision | engines | measured on the golden inputs |",
        "|---|---|---|---|",
    ]
    for entry in entries:
        measured = "; ".join(
            f"{found['engine']}: agreement {100 * found['agreement']:.0f} %, difference {found['max_abs_diff']:.1e}, "
            f"{found['median_ms']:.2f} ms" for found in entry.details.get("measured", ())
        ) or entry.details.get("note", "the reference" if entry.format == "safetensors" else "not run where it was made")
        lines.append(f"| `{entry.file}` | {entry.precision} | {', '.join(entry.engines)} | {measured} |")
    latent = content.more.get("latent_replay")
    if latent:
        lines += ["", f"`{latent['folder']}/` trains the last layers on the device (latent replay, ExecuTorch with its training "
                      f"module): room for {latent['room']} more actions; it holds what the network makes of {latent['replayed']} "
                      "recordings, in 8 bits."]
    for left_out in content.more.get("omitted", ()):
        lines += ["", f"Left out: {left_out['artifact']}. {left_out['reason']}."]
    calibration = content.more["data"]["calibration"]
    if calibration:
        lines += ["", f"Int8 was calibrated with {calibration['clips']} clips: {calibration['origin']} "
                      f"(SHA-256 `{calibration['digest'][:16]}`)."]
    if needs:
        lines += ["", "## The device needs", ""] + [f"- `{package}`: {how}" for package, how in needs.items()]
    if notes:
        lines += ["", "## Notes", ""] + [f"- {note}" for note in notes]
    lines += ["", "## Actions", "", ", ".join(f"`{label}`" for label in content.labels), ""]
    if card:
        lines += ["---", "", card.strip(), ""]
    return "\n".join(lines)


def _steps(content: ManifestContent) -> list[str]:
    """How the step artifacts are fed, where there are any."""
    step = content.more.get("step")
    if not step:
        return []
    return ["", f"`model.step.*` recognise frame by frame: feed {step['frames']} new frames and the state (`state_0` to "
                f"`state_{len(step['states']) - 1}`, all zeros at the start of each person) and keep `next_state_*` for the next "
                f"{step['frames']}. Look-ahead {step['look_ahead']} frames, delay {step['delay']} steps."]
