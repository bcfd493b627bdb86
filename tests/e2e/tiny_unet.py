"""A diffusion model of noise, small enough for a CPU, so that a real ComfyUI's own sampler runs and shows previews.

Run it by ComfyUI's Python; what it writes goes to a folder of `unet` models:

    PYTHON tests/e2e/tiny_unet.py COMFYUI_FOLDER models/unet/tiny.safetensors

It is a UNet of 35 million random weights in the form of SD 2, one level deep, with the 1,024 numbers a token that
LotusConditioning gives without a text encoder. The VAE `pixel_space` decodes without a file. Pictures are noise.
"""

import sys
from pathlib import Path


def main(comfyui, out):
    sys.path.insert(0, comfyui)
    sys.argv = ["main.py", "--cpu"]
    import comfy.options

    comfy.options.enable_args_parsing()
    import comfy.ops
    import torch
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = UNetModel(
        image_size=32,
        in_channels=4,
        out_channels=4,
        model_channels=320,
        num_res_blocks=[1, 1],
        channel_mult=(1, 1),
        transformer_depth=[1, 0],
        transformer_depth_output=[1, 1, 0, 0],
        transformer_depth_middle=0,
        num_head_channels=64,
        use_spatial_transformer=True,
        use_linear_in_transformer=True,
        context_dim=1024,
        legacy=False,
        dtype=torch.float32,
        operations=comfy.ops.manual_cast,
    )
    weights = {name: (torch.randn_like(value) * 0.02).half() for name, value in model.state_dict().items()}
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
