"""Build ready-made networks: the textbook's small ones, and the classics from LeNet-5 to ResNet."""

from neocog.models.alexnet import alexnet, alexnet_one_tower
from neocog.models.heads import head_of, with_new_head
from neocog.models.image_cnn import image_cnn
from neocog.models.lenet import lenet5, lenet5_1998
from neocog.models.pretrained import load_torchvision, pretrained
from neocog.models.resnet import resnet18, resnet34, resnet50, resnet101, resnet_cifar
from neocog.models.tiny import conv_net, digits_cnn, small_cnn, tiny_cnn, tiny_mlp
from neocog.models.vgg import vgg11, vgg13, vgg16, vgg19

__all__ = [
    "alexnet",
    "alexnet_one_tower",
    "conv_net",
    "digits_cnn",
    "head_of",
    "image_cnn",
    "lenet5",
    "lenet5_1998",
    "load_torchvision",
    "pretrained",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet_cifar",
    "small_cnn",
    "tiny_cnn",
    "tiny_mlp",
    "vgg11",
    "vgg13",
    "vgg16",
    "vgg19",
    "with_new_head",
]
