"""The picture autoencoder (FLUX's), in its published layout.

Pictures are [1, 3, H, W] in −1..1, latents [1, z, H/8, W/8]. Norms and their activations run in
float32, convolutions in the weights' dtype.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from .settings import VaeSizes

__all__ = ["Autoencoder"]


class _Norm(nn.GroupNorm):
    def __init__(self, channels: int) -> None:
        super().__init__(32, channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize in float32, for any dtype of x."""
        weight, bias = self.weight.float(), self.bias.float()
        return functional.group_norm(x.float(), self.num_groups, weight, bias, self.eps)


def _conv(inputs: int, outputs: int, size: int = 3) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, padding=size // 2)


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = _Norm(inputs), _conv(inputs, outputs)
        self.norm2, self.conv2 = _Norm(outputs), _conv(outputs, outputs)
        self.nin_shortcut = _conv(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv1(functional.silu(self.norm1(x)).to(x.dtype))
        y = self.conv2(functional.silu(self.norm2(y)).to(x.dtype))
        kept: Tensor = x if self.nin_shortcut is None else self.nin_shortcut(x)
        return y + kept


class _Attention(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _Norm(channels)
        self.q, self.k, self.v = (_conv(channels, channels, 1) for _ in range(3))
        self.proj_out = _conv(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x).to(x.dtype)
        q, k, v = (part(normed).flatten(2).transpose(1, 2)[:, None] for part in (self.q, self.k, self.v))
        mixed = functional.scaled_dot_product_attention(q, k, v)[:, 0].transpose(1, 2)
        change: Tensor = self.proj_out(mixed.reshape(x.shape))
        return x + change


class _Middle(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1 = _Block(channels, channels)
        self.attn_1 = _Attention(channels)
        self.block_2 = _Block(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.block_2(self.attn_1(self.block_1(x)))
        return result


class _Down(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conv(functional.pad(x, (0, 1, 0, 1)))
        return result


class _Up(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = _conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        return result


class _Level(nn.Module):
    """Blocks at one resolution, and the change to the next, if any."""

    def __init__(self, inputs: int, outputs: int, blocks: int, change: str = "") -> None:
        super().__init__()
        widths = [inputs] + [outputs] * blocks
        self.block = nn.ModuleList(_Block(a, b) for a, b in pairwise(widths))
        self.downsample = _Down(outputs) if change == "down" else None
        self.upsample = _Up(outputs) if change == "up" else None

    def forward(self, x: Tensor) -> Tensor:
        for block in self.block:
            x = block(x)
        change = self.downsample or self.upsample
        return x if change is None else change(x)


class _Encoder(nn.Module):
    def __init__(self, sizes: VaeSizes) -> None:
        super().__init__()
        widths = [sizes.channels * m for m in sizes.multipliers]
        last = len(widths) - 1
        self.conv_in = _conv(3, sizes.channels)
        self.down = nn.ModuleList(
            _Level(inputs, outputs, sizes.blocks, "down" if i < last else "")
            for i, (inputs, outputs) in enumerate(zip([sizes.channels, *widths], widths, strict=False))
        )
        self.mid = _Middle(widths[-1])
        self.norm_out = _Norm(widths[-1])
        self.conv_out = _conv(widths[-1], 2 * sizes.latent_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        x = self.mid(x)
        result: Tensor = self.conv_out(functional.silu(self.norm_out(x)).to(x.dtype))
        return result


class _Decoder(nn.Module):
    def __init__(self, sizes: VaeSizes) -> None:
        super().__init__()
        widths = [sizes.channels * m for m in sizes.multipliers]
        self.conv_in = _conv(sizes.latent_channels, widths[-1])
        self.mid = _Middle(widths[-1])
        # Level 0 is the finest and runs last, so each level takes what the next coarser one gives.
        self.up = nn.ModuleList(
            _Level(inputs, outputs, sizes.blocks + 1, "up" if i else "")
            for i, (outputs, inputs) in enumerate(zip(widths, [*widths[1:], widths[-1]], strict=True))
        )
        self.norm_out = _Norm(widths[0])
        self.conv_out = _conv(widths[0], 3)

    def forward(self, z: Tensor) -> Tensor:
        x = self.mid(self.conv_in(z))
        for level in reversed(list(self.up)):
            x = level(x)
        result: Tensor = self.conv_out(functional.silu(self.norm_out(x)).to(x.dtype))
        return result


class Autoencoder(nn.Module):
    """Pictures to latents and back."""

    def __init__(self, sizes: VaeSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.encoder = _Encoder(sizes)
        self.decoder = _Decoder(sizes)

    def moments(self, picture: Tensor) -> Tensor:
        """Picture [1, 3, H, W] to mean and log-variance [1, 2z, H/8, W/8]."""
        found: Tensor = self.encoder(picture.to(self.encoder.conv_in.weight.dtype))
        return found

    def latent(self, moments: Tensor, noise: Tensor) -> Tensor:
        """A sample [1, z, H/8, W/8] in float32, scaled; `noise` is standard normal of that shape."""
        mean, log_variance = moments.float().chunk(2, dim=1)
        sample = mean + (log_variance / 2).exp() * noise.to(mean.device)
        return self.sizes.scale * (sample - self.sizes.shift)

    def decode(self, latent: Tensor) -> Tensor:
        """Latent [1, z, H/8, W/8], scaled, to a picture [1, 3, H, W] around −1..1, not yet clamped."""
        plain = latent / self.sizes.scale + self.sizes.shift
        picture: Tensor = self.decoder(plain.to(self.decoder.conv_in.weight.dtype))
        return picture
