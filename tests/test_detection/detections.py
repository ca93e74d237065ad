"""Detections and ground truth in COCO's form."""


def detection(image: int, box: list[float], score: float, category: int = 1) -> dict:
    return dict(image_id=image, category_id=category, bbox=box, score=score)


def truth(*boxes: list[float], **more: int) -> dict:
    """One image a box, of one class."""
    return dict(
        images=[dict(id=i, width=200, height=200) for i in range(1, len(boxes) + 1)],
        annotations=[
            dict(id=i, image_id=i, category_id=1, bbox=box, area=box[2] * box[3], iscrowd=0, **more)
            for i, box in enumerate(boxes, start=1)
        ],
        categories=[dict(id=1, name='thing')],
    )
