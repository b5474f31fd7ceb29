"""A small recogniser, and the kinds of artifact of it that this machine can run (``bundle_folder`` has them all)."""

from __future__ import annotations

KINDS = ("onnx-fp32", "onnx-fp16", "onnx-int8", "xnnpack-fp32", "xnnpack-int8")


def small_recogniser(**settings):
    """An ``edge`` of a few thousand weights with BatchNorm statistics that are worth folding."""
    import torch

    from edgeskel import models, topologies
    from edgeskel.data import synthetic

    torch.manual_seed(0)
    config = {"topology": topologies.get("kinect-v1"), "labels": synthetic.actions()[:6], "source_frames": 32, "frames": 16,
              "widths": (8, 16), "regions": (0, 4), "blocks": (1, 1), "groups": 2, "kernel": 3, **settings}
    model = models.create("edge", **config)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2.0)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
    with torch.no_grad():
        model.classifier.weight.mul_(20)  # answers that are far from even
    return model.eval()
