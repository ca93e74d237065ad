"""How far the implementations behind ``operations`` may differ, in levels of 255; for the tests."""

#: Largest difference of a resize from Pillow's resize (horizontal pass first).
RESIZE = dict(bilinear=1, bicubic=2)
#: Largest difference of an operation in the compiled loops from exact arithmetic.
COMPILED = 1
#: Largest difference of an operation from torchvision's. torchvision cuts the gray image to whole
#: levels first, so contrast and saturation cannot be equal.
TORCHVISION = dict(brightness=0, contrast=1, saturation=2)
#: Largest difference of a turned hue from exact HSV: the size of two steps of 8-bit HSV.
HUE = 12
#: Largest difference of the luma from exact arithmetic and from mmcv's luma.
GRAY = 1


def blur(sigma: float, compiled: bool) -> float:
    """Return the largest difference from an exact Gaussian blur; half a level of it is rounding."""
    if not compiled:
        return 0.51
    return 0.55 if sigma <= 2 else 0.6


#: Whole views, compiled versus plain: difference of the mean levels, and signal to noise in dB.
VIEWS_MEAN, VIEWS_PSNR = 0.3, 40.0
