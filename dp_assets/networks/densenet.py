"""DenseNet 121, 169 and 201 for crops of any number of channels."""

import keras

from dp_assets.networks.application import Application, chosen_application
from dp_assets.networks.architecture import Architecture, NetworkRequest
from dp_assets.networks.optimizers import nesterov_sgd
from dp_assets.networks.pooled_network import FEATURES_NAME, pooled_network

SIZES = {
    size: Application(
        f"DenseNet{size}", 32, "conv1_conv", f"densenet{size}_weights_tf_dim_ordering_tf_kernels_notop.h5"
    )
    for size in (121, 169, 201)
}


def build_densenet(request: NetworkRequest) -> keras.Model:
    """Build DenseNet-`conv_blocks` with global average pooling `pool5` and a softmax head `ClassProb`.

    L2 penalty of 1e-5 on all kernels. Layer names are those of keras.applications (Huang et al. 2017,
    "Densely connected convolutional networks", arXiv:1608.06993; section 5 of DeepProfiler's behaviour).

    Raises
    ------
    ModelError : `conv_blocks` is not 121, 169 or 201, the crop is smaller than 32 pixels, or the ImageNet
        weights cannot be had.
    """
    application = chosen_application(request, SIZES)
    return pooled_network(request, application, name=f"densenet{request.conv_blocks}")


DENSENET = Architecture(
    "densenet",
    build_densenet,
    nesterov_sgd,
    feature_aliases={"avg_pool": FEATURES_NAME, "global_avg_pool": FEATURES_NAME},
)
