"""EfficientNet B0-B7 for crops of any number of channels."""

import keras

from dp_assets.networks.application import Application, chosen_application
from dp_assets.networks.architecture import Architecture, NetworkRequest
from dp_assets.networks.optimizers import nesterov_sgd
from dp_assets.networks.pooled_network import FEATURES_NAME, pooled_network

SIZES = {
    size: Application(f"EfficientNetB{size}", 32, "stem_conv", f"efficientnetb{size}_notop.h5")
    for size in range(8)
}


def build_efficientnet(request: NetworkRequest) -> keras.Model:
    """Build EfficientNet-B`conv_blocks` with global average pooling `pool5` and a softmax head `ClassProb`.

    The input is a normalised crop: the rescaling and normalisation layers that keras.applications puts in
    front are left out. Every Conv2D and Dense kernel has an L2 penalty of 1e-5, depthwise kernels have none.
    Layer names and weight shapes agree with DeepProfiler's checkpoints (Tan & Le 2019, arXiv:1905.11946;
    handbook, `conv_blocks`).

    Raises
    ------
    ModelError : `conv_blocks` is not 0-7, the crop is smaller than 32 pixels, or the ImageNet weights cannot
        be had.
    """
    application = chosen_application(request, SIZES)
    return pooled_network(request, application, name=f"efficientnet_b{request.conv_blocks}")


EFFICIENTNET = Architecture(
    "efficientnet",
    build_efficientnet,
    nesterov_sgd,
    feature_aliases={"avg_pool": FEATURES_NAME, "global_avg_pool": FEATURES_NAME},
)
