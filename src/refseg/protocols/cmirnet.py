"""Protocol "cmirnet": the test of CMIRNet's release, which is LAVT's but for one argument of a resize.

Source         M. Xu et al. "CMIRNet: Cross-Modal Interactive Reasoning Network for Referring Image Segmentation".
               TCSVT 2024: `test_swin.py`, `transforms.py`.
Foreground     the higher of two logits, resized to 480 bilinearly, corners not aligned; a tie is background.
"""

from refseg.protocols.lavt import LAVT


class CMIRNet(LAVT):
    """LAVT's metrics, with corners not aligned."""

    name = "cmirnet"
    about = "squashed to 480x480, corners not aligned, probability above 0.5; no union: 0"
    align_corners = False
