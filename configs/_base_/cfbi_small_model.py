# A small CFBI for a CPU: MobileNet-V2 up to stride 8, which is not trained, embeddings of 48 channels at stride 8; the
# decoder joins features of stride 4.
norm = dict(type="GN", channels_per_group=8)
model = dict(
    type="CFBI",
    preprocessor=dict(type="ResizingPreprocessor", divisor=16),
    encoder=dict(
        type="PixelEmbedding", channels=48, low_level="c2",
        backbone=dict(type="MobileNetV2", output_stride=8, last="c4", norm=dict(type="FrozenBN"), frozen_stages=3),
        neck=dict(type="DeepLabV3Plus", channels=64, low_level="c3", low_channels=24, rates=(2, 4), dropout=0.0,
                  norm=norm),
        norm=norm),
    matching_head=dict(type="GlobalLocalMatching", windows=(8, 2, 4, 6), downsample=1),
    memory=dict(type="FrameBank", every=None, train_every=None, max_tokens=None, max_frames=16),
    decoder=dict(type="CollaborativeEnsembler", channels=48, prehead_channels=24, refine_channels=24, depths=(2, 2, 1),
                 rates=(1, 2), slots_per_pass=None, norm=norm),
    labels_in_memory=0.5, given_frames=2,
    losses=[dict(type="BootstrappedCE", start_warm=0.2, end_warm=0.6, top_p=0.3), dict(type="DiceLoss")])
