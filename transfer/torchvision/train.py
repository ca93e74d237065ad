"""Fine-tunes Faster or Mask R-CNN with FPN from a pretrained ResNet on VOC, COCO or other data.

It needs no GPU and no compiler. run_voc.sh and run_coco.sh start it.
"""

from mmjoint.detection.torchvision.run import fine_tune, parse_args
from mmjoint.utils.errors import one_line_errors

if __name__ == '__main__':
    with one_line_errors():
        fine_tune(parse_args(__doc__.splitlines()[0]))
