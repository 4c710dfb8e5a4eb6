"""gRefCOCO: expressions for one, several or none of the objects of an image, on the images of RefCOCO.

Source     https://github.com/henghuiding/gRefCOCO; C. Liu, H. Ding, X. Jiang. "GRES". CVPR 2023.
Licence    none is stated with the data; annotations CC BY 4.0 (COCO), photographs each under its own Flickr licence.
Splits     train, val, testA, testB (by unc); in all 19,994 images, 278,232 expressions, of which 80,022 name several
           objects and 32,202 none.
"""

from refseg.datasets.refcoco import TRAIN2014
from refseg.datasets.refer import ReferLayout


class GRefCOCO(ReferLayout):
    """gRefCOCO; crowd regions do not belong to its masks."""

    name = folder = "grefcoco"
    split_bys = ("unc",)
    refs_file = "grefs({})"
    image_folders = TRAIN2014
    crowds = False
