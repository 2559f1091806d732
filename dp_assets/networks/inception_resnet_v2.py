"""Inception-ResNet v2 for crops of any number of channels."""

import keras

from dp_assets.networks.application import Application
from dp_assets.networks.architecture import Architecture, NetworkRequest
from dp_assets.networks.heads import column_heads
from dp_assets.networks.optimizers import adam
from dp_assets.networks.pooled_network import pooled_network

APPLICATION = Application(
    "InceptionResNetV2", 75, "conv2d", "inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5"
)
FEATURES_NAME = "avg_pool"


def build_inception_resnet_v2(request: NetworkRequest) -> keras.Model:
    """Build Inception-ResNet v2 with global average pooling `avg_pool`.

    The softmax heads are named after the target columns; there is no weight decay. `conv_blocks` has no
    meaning. Layers that keras.applications does not name are called as in a process that builds nothing else
    ("conv2d", "conv2d_1", ...), which is how checkpoints name them (Szegedy et al. 2017, arXiv:1602.07261;
    section 5 of DeepProfiler's behaviour).

    Raises
    ------
    ModelError : the crop is smaller than 75 pixels, or the ImageNet weights cannot be had.
    """
    return pooled_network(
        request,
        APPLICATION,
        name="inception_resnet_v2",
        features_name=FEATURES_NAME,
        heads=column_heads,
        weight_decay=0.0,
    )


INCEPTION_RESNET_V2 = Architecture(
    "inception_resnet_v2",
    build_inception_resnet_v2,
    adam,
    label_smoothing=False,
    feature_aliases=dict.fromkeys(("pool5", "global_avg_pool", "global_average_pooling2d"), FEATURES_NAME),
)
