# SST (Duke et al., 2021): DeepLabv3+ on a ResNet-101 at output stride 8, embeddings of 128 channels at stride 4; two
# layers of local attention over the last three frames at stride 8; the decoder of CFBI.
model = dict(
    type="SST",
    preprocessor=dict(type="ResizingPreprocessor", divisor=16, mean=(0.406, 0.456, 0.485), std=(0.225, 0.224, 0.229)),
    encoder=dict(
        type="PixelEmbedding", channels=128,
        backbone=dict(type="ResNet", depth=101, widths=(64, 128, 256, 512), output_stride=8, dilate_first=True,
                      multi_grid=(1, 2, 4), norm=dict(type="FrozenBN")),
        neck=dict(type="DeepLabV3Plus", channels=256)),
    matching_head=dict(type="SSTEncoder", attentions=[dict(type="LocalAttention", h=8)] * 2, heads=8),
    memory=dict(type="FrameBank", every=1, max_frames=3, keep_prompts=False),
    decoder=dict(type="CollaborativeEnsembler"),
    labels_in_memory=0.5, given_frames=2,
    losses=[dict(type="BootstrappedCE", start_warm=0, end_warm=0.5, top_p=0.15, count_void=True)])
