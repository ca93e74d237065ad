import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
version: dict[str, str] = {}
exec((ROOT / 'mmjoint/version.py').read_text(), version)


class BuildWithMim(build_py):
    """Ships configs, tools and transfer as `mmjoint/.mim`, where mim and mmengine look for them."""

    def run(self) -> None:
        super().run()
        for name in ('configs', 'tools', 'transfer', 'model-index.yml'):
            if self.editable_mode:
                link = ROOT / 'mmjoint/.mim' / name
                link.parent.mkdir(exist_ok=True)
                link.unlink(missing_ok=True)
                link.symlink_to(Path('../..') / name, target_is_directory=(ROOT / name).is_dir())
                continue
            target = Path(self.build_lib) / 'mmjoint/.mim' / name
            if name == 'model-index.yml':
                shutil.copy(ROOT / name, target)
            else:
                shutil.rmtree(target, ignore_errors=True)
                # These set up a clone; an installed package needs none of them.
                clone_only = ('quickstart.sh', 'run_tests.sh', 'setup_env.sh', 'build_docs.sh')
                shutil.copytree(
                    ROOT / name, target, ignore=shutil.ignore_patterns('__pycache__', *clone_only)
                )


setup(
    name='mmjoint',
    version=version['__version__'],
    description='Joint augmentation of positive pairs for contrastive pretraining on mmpretrain',
    long_description=(ROOT / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    author='mmjoint developers',
    license='Apache-2.0',
    keywords='self-supervised contrastive learning data augmentation mmpretrain openmmlab',
    project_urls={'Paper': 'https://arxiv.org/abs/2412.16522'},
    classifiers=[
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    packages=find_packages(include=['mmjoint', 'mmjoint.*']),
    package_data={'mmjoint': ['**/*.html', 'datasets/*.txt', 'py.typed']},
    python_requires='>=3.10',
    install_requires=[
        'jinja2>=3.1',
        'matplotlib>=3.7',
        'numpy>=1.26',
        'pillow>=10.0',
        'torch>=2.6',
        'torchvision>=0.21',
    ],
    extras_require={
        # The maintained builds; whoever has OpenMMLab's own packages keeps them (no extra then).
        'mm': ['onedl-mmcv>=2.3', 'onedl-mmengine>=0.10.8', 'onedl-mmpretrain>=1.3'],
        # The same views, sooner: compiled loops, and the JPEG decoder of LoadImage.
        'fast': ['numba>=0.60,<0.69', 'simplejpeg>=1.8'],
        'shards': ['webdataset>=1.0'],
        'embedding': ['scikit-learn>=1.3'],  # t-SNE in tools/report.py
        'studies': ['scipy>=1.15'],  # the statistics of tools/paper.py --study
        'tensorboard': ['tensorboard>=2.14'],
        'transfer': ['pycocotools>=2.0.7', 'safetensors>=0.4'],
        'bench': ['albumentations>=2.0.8', 'kornia>=0.9', 'lightly>=1.6'],
        'docs': ['mkdocs>=1.6,<2', 'mkdocs-material>=9.5', 'mkdocstrings[python]>=0.26'],
        'dev': [
            'hypothesis>=6.100',
            'mypy>=1.11',
            'pycocotools>=2.0.7',
            'playwright>=1.45',
            'pytest>=8.0',
            'pytest-xdist>=3.5',
            'ruff>=0.6',
            'scipy>=1.11',
            'timm>=1.0',
        ],
    },
    cmdclass={'build_py': BuildWithMim},
    zip_safe=False,
)
