"""BAGEL and CLEAR inference in plain PyTorch.

`options` and `settings` hold a card's options; `checkpoint` and `loading` read the official files;
`tokenizer`, `images`, `vision`, `vae` and `language` are the model's parts, which `bagel` joins;
`context` holds keys and values; `chunks` appends texts and pictures to a context; `decoding`
generates text, `denoising` restores a picture, and `dialogue` alternates the two.
"""
