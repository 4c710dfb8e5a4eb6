"""Protocol "long_rvos": J, F, tIoU and vIoU of expressions about long videos.

Source         T. Liang et al. "Long-RVOS: A Comprehensive Benchmark for Long-term Referring Video Object Segmentation".
               2025: `eval/eval_long_rvos`.
J, F           those of "davis", mean over all frames.
tIoU           frames in which both masks have a pixel, over those in which either has.
vIoU           J added up over the former, over the number of the latter; both are 1 where no frame has either.
All            means over expressions; J&F is the mean of J and F. The release prints the three types of expressions,
               static, dynamic and hybrid, apart as well: the breakdown by type has them.
"""

from typing_extensions import override

from refseg.protocols.mevis import MeViS
from refseg.protocols.video_protocol import Track


class LongRVOS(MeViS):
    """J and F over all frames, and how well the frames in which the referent is seen are found."""

    name = "long_rvos"
    about = "J and F of expressions in all frames; tIoU and vIoU over frames with a mask; both masks empty: 1"
    headline = ("J&F", "J", "F", "tIoU", "vIoU")

    @override
    def score(self, track: Track) -> dict[str, float]:
        both, either = track.seen & track.answered, track.seen | track.answered
        frames = int(either.sum())
        presence = {
            "tIoU": int(both.sum()) / frames if frames else 1.0,
            "vIoU": float(track.region[both].sum()) / frames if frames else 1.0,
        }
        return self.score_track(track.region, track.contour) | presence
