# A small SST for a CPU: MobileNet-V2 up to stride 8, which is not trained, embeddings of 48 channels at stride 8, two
# layers of local attention over the last three frames; the decoder joins features of stride 4.
norm = dict(type="GN", channels_per_group=8)
model = dict(
    type="SST",
    preprocessor=dict(type="ResizingPreprocessor", divisor=16),
    encoder=dict(
        type="PixelEmbedding", channels=48, low_level="c2",
        backbone=dict(type="MobileNetV2", output_stride=8, last="c4", norm=dict(type="FrozenBN"), frozen_stages=3),
        neck=dict(type="DeepLabV3Plus", channels=64, low_level="c3", low_channels=24, rates=(2, 4), dropout=0.0,
                  norm=norm),
        norm=norm),
    matching_head=dict(type="SSTEncoder", attentions=[dict(type="LocalAttention", h=4)] * 2, heads=4, downsample=1),
    memory=dict(type="FrameBank", every=1, max_frames=3, keep_prompts=False),
    decoder=dict(type="CollaborativeEnsembler", channels=48, prehead_channels=24, refine_channels=24, depths=(2, 2, 1),
                 rates=(1, 2), slots_per_pass=None, norm=norm),
    labels_in_memory=0.5, given_frames=2, frame_origin=60,
    losses=[dict(type="BootstrappedCE", start_warm=0.2, end_warm=0.6, top_p=0.3), dict(type="DiceLoss")])
