"""Build ready-made networks: the textbook's small ones, and the classics from LeNet-5 to ConvNeXt."""

from neocog.models.alexnet import alexnet, alexnet_one_tower
from neocog.models.convnext import convnext_small, convnext_tiny
from neocog.models.efficientnet import efficientnet_b0
from neocog.models.heads import head_of, with_new_head
from neocog.models.image_cnn import image_cnn
from neocog.models.lenet import lenet5, lenet5_1998
from neocog.models.mobilenet import mobilenet_v2, mobilenet_v3_large, mobilenet_v3_small
from neocog.models.pretrained import load_torchvision, pretrained
from neocog.models.regnet import regnet_y_400mf, regnet_y_800mf
from neocog.models.resnet import resnet18, resnet34, resnet50, resnet101, resnet_cifar
from neocog.models.shufflenet import shufflenet_v2_x0_5, shufflenet_v2_x1_0
from neocog.models.tiny import conv_net, digits_cnn, small_cnn, tiny_cnn, tiny_mlp
from neocog.models.vgg import vgg11, vgg13, vgg16, vgg19

__all__ = [
    "alexnet",
    "alexnet_one_tower",
    "conv_net",
    "convnext_small",
    "convnext_tiny",
    "digits_cnn",
    "efficientnet_b0",
    "head_of",
    "image_cnn",
    "lenet5",
    "lenet5_1998",
    "load_torchvision",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    "pretrained",
    "regnet_y_400mf",
    "regnet_y_800mf",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet_cifar",
    "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0",
    "small_cnn",
    "tiny_cnn",
    "tiny_mlp",
    "vgg11",
    "vgg13",
    "vgg16",
    "vgg19",
    "with_new_head",
]
