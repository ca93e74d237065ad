from ..test_tools.conftest import (  # noqa: F401
    image_folder,
    pretrain_config,
    probe_config,
    tool_command,
    tool_environment,
)
