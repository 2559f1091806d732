"""ResNet 50, 101 and 152 with pre-activation (version 2) for crops of any number of channels."""

import keras

from dp_assets.networks.application import Application, chosen_application
from dp_assets.networks.architecture import Architecture, NetworkRequest
from dp_assets.networks.optimizers import nesterov_sgd
from dp_assets.networks.pooled_network import FEATURES_NAME, pooled_network

SIZES = {
    size: Application(
        f"ResNet{size}V2", 32, "conv1_conv", f"resnet{size}v2_weights_tf_dim_ordering_tf_kernels_notop.h5"
    )
    for size in (50, 101, 152)
}


def build_resnet(request: NetworkRequest) -> keras.Model:
    """Build ResNet-`conv_blocks` V2 with global average pooling `pool5` and a softmax head `ClassProb`.

    L2 penalty of 1e-5 on all kernels. Layer names and weight shapes agree with DeepProfiler's checkpoints (He
    et al. 2016, "Identity mappings in deep residual networks", arXiv:1603.05027; handbook, `conv_blocks`).

    Raises
    ------
    ModelError : `conv_blocks` is not 50, 101 or 152, the crop is smaller than 32 pixels, or the ImageNet
        weights cannot be had.
    """
    application = chosen_application(request, SIZES)
    return pooled_network(request, application, name=f"resnet{request.conv_blocks}v2")


RESNET = Architecture(
    "resnet",
    build_resnet,
    nesterov_sgd,
    feature_aliases={"avg_pool": FEATURES_NAME, "global_avg_pool": FEATURES_NAME},
)
