# A small SST that learns from scratch on a CPU: GroupNorm, a narrow ResNet, embeddings of 48 channels at stride 4, two
# layers of local attention over the last three frames at stride 8.
norm = dict(type="GN", channels_per_group=8)
model = dict(
    type="SST",
    preprocessor=dict(type="ResizingPreprocessor", divisor=16),
    encoder=dict(
        type="PixelEmbedding", channels=48,
        backbone=dict(type="ResNet", depth=None, block="basic", blocks=(2, 2, 2), stem_channels=24, stem_kernel=5,
                      stem_pool=False, widths=(32, 64, 96), output_stride=16, norm=norm),
        neck=dict(type="DeepLabV3Plus", channels=48, low_channels=24, rates=(2, 4, 6), dropout=0.0, norm=norm),
        norm=norm),
    matching_head=dict(type="SSTEncoder", attentions=[dict(type="LocalAttention", h=4)] * 2, heads=8),
    memory=dict(type="FrameBank", every=1, max_frames=3, keep_prompts=False),
    decoder=dict(type="CollaborativeEnsembler", channels=48, prehead_channels=24, refine_channels=24,
                 rates=(1, 2, 4, 6), norm=norm),
    labels_in_memory=0.5, given_frames=2,
    losses=[dict(type="BootstrappedCE", start_warm=0.2, end_warm=0.6, top_p=0.3), dict(type="DiceLoss")])
