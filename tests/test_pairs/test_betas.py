"""Betas as words, and where they go."""

import pytest

from mmjoint.pairs.betas import (
    laws_of,
    one_setting,
    own_names,
    parse_beta,
    set_betas,
    split_settings,
)


def views(*pipeline: dict) -> dict:
    return dict(type='JointView', num_views=2, transforms=[list(pipeline)])


def crop(beta):
    return dict(type='JointCrop', beta=beta)


def blur(beta):
    return dict(type='JointBlur', beta=beta)


def color(beta):
    return dict(type='JointColor', brightness=0.4, hue=0.1, beta=beta)


def test_words():
    words = ('None', 'none', '-2', '0.5', 'JointCrop=-1', 'JointColor.hue=None')
    assert [parse_beta(word) for word in words] == [
        ('', None),
        ('', None),
        ('', -2),
        ('', 0.5),
        ('JointCrop', -1),
        ('JointColor.hue', None),
    ]


@pytest.mark.parametrize('word', ['hard', '', '=1', 'JointCrop=', 'JointCrop=hard', 'JointCrop'])
def test_words_that_are_no_beta(word):
    with pytest.raises(ValueError, match='is not a beta: expected a number or None'):
        parse_beta(word)


def test_settings():
    words = [parse_beta(word) for word in ('0', 'A=1', 'B=2', 'A=3', 'None', 'B=4')]
    assert split_settings(words) == [{'': 0}, dict(A=1, B=2), dict(A=3), {'': None}, dict(B=4)]
    assert one_setting(words[1:3]) == dict(A=1, B=2)
    with pytest.raises(ValueError, match='a run has one setting, got 2: 0, A=1'):
        one_setting(words[:2])


@pytest.mark.parametrize(
    'pipeline,names',
    [
        ([crop(0), blur(None), color(None)], ['JointCrop.area']),
        ([crop(None), blur(0), color(None)], ['JointBlur.sigma']),
        ([crop(None), blur(-1), color(dict(hue=0))], ['JointBlur.sigma', 'JointColor.hue']),
        ([crop(None), blur(None), color(None)], ['JointCrop.area']),
        ([color(None), crop(None)], ['JointColor.brightness', 'JointColor.hue']),
        ([dict(type='RandomFlip', prob=0.5)], []),
    ],
)
def test_a_beta_without_a_name_is_for_what_is_joint_or_comes_first(pipeline, names):
    assert own_names(laws_of(views(*pipeline))) == names


@pytest.mark.parametrize(
    'betas,expected',
    [
        ({'': -1}, [-1, None, None, None]),
        ({'': None}, [None, None, None, None]),
        ({'JointBlur': 2}, [0, None, 2, None]),
        ({'JointCrop': 1, 'JointBlur': None}, [1, 1, None, None]),
        ({'JointColor': 0}, [0, None, None, dict(brightness=0, hue=0)]),
        ({'JointColor.hue': 0}, [0, None, None, dict(brightness=None, hue=0)]),
        ({'JointCrop.area': -2}, [-2, -2, None, None]),
    ],
)
def test_where_betas_go(betas, expected):
    """A name is for all places; a beta without one leaves what is independent so."""
    choice = dict(type='JointChoice', transforms=[[crop(0)], [crop(None)]])
    config = views(choice, blur(None), color(None))
    set_betas(config, betas, 'a.py')
    choice, *rest = config['transforms'][0]
    crops = [pipeline[0]['beta'] for pipeline in choice['transforms']]
    assert [*crops, *(step['beta'] for step in rest)] == expected


@pytest.mark.parametrize(
    'betas,message',
    [
        (
            {'JointCrp': 0},
            r'a.py: the views hold no JointCrp whose beta could be set; they hold JointCrop '
            r'\(area\), JointColor \(brightness, hue\)',
        ),
        ({'JointCrop.sigma': 0}, 'hold no JointCrop.sigma'),
        ({'JointColor.brightness': float('nan')}, 'beta must be finite'),
    ],
)
def test_errors_name_what_there_is(betas, message):
    with pytest.raises(ValueError, match=message):
        set_betas(views(crop(0), color(None)), betas, 'a.py')


def test_a_range_without_a_ratio():
    wide = dict(type='JointColor', contrast=1.0, beta=None)
    with pytest.raises(ValueError, match='contrast=1.0 cannot be joint'):
        set_betas(views(wide), {'': 0}, 'a.py')


def test_stock_views_have_no_beta():
    stock = dict(type='MultiView', num_views=2, transforms=[[dict(type='RandomResizedCrop')]])
    with pytest.raises(ValueError, match='hold no joint augmentation, such as JointCrop'):
        set_betas(stock, {'': 0}, 'a.py')


def test_a_correlation_needs_its_name():
    pipeline = [dict(type='JointFlip', rho=0.5), dict(type='JointCrop', beta=0)]
    assert set_betas(pipeline, {'': -2.0}, 'a.py') == {'JointCrop.area': -2.0}
    assert set_betas(pipeline, {'JointFlip': -1.0}, 'a.py') == {'JointFlip.flip': -1.0}
    assert [step.get('rho', step.get('beta')) for step in pipeline] == [-1.0, -2.0]
    with pytest.raises(ValueError, match=r'rho must be in \[-1, 1\]'):
        set_betas(pipeline, {'JointFlip': 2.0}, 'a.py')
