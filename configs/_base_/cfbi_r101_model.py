# CFBI (Yang et al., 2020): DeepLabv3+ on a ResNet-101 at output stride 16, embeddings of 100 channels at stride 4.
# Published weights were trained on channels in the order B, G, R, with the mean and the deviation of R, G, B.
model = dict(
    type="CFBI",
    preprocessor=dict(type="ResizingPreprocessor", divisor=16, mean=(0.406, 0.456, 0.485), std=(0.225, 0.224, 0.229)),
    encoder=dict(
        type="PixelEmbedding", channels=100,
        backbone=dict(type="ResNet", depth=101, widths=(64, 128, 256, 512), output_stride=16, dilate_first=True,
                      multi_grid=(1, 2, 4), norm=dict(type="FrozenBN")),
        neck=dict(type="DeepLabV3Plus", channels=256)),
    matching_head=dict(type="GlobalLocalMatching"),
    memory=dict(type="FrameBank", every=None, train_every=None, max_tokens=None, max_frames=16),
    decoder=dict(type="CollaborativeEnsembler"),
    labels_in_memory=0.5, given_frames=2,
    losses=[dict(type="BootstrappedCE", start_warm=0, end_warm=0.5, top_p=0.15, count_void=True)])
