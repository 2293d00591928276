import torch

from fpt.solvers import Training
from fpt.solvers.protonet import protonet


def test_predictions_are_the_nearest_class_means(backbone, stack_for):
    training = Training(way=3)
    stack = stack_for("protonet", training)
    predicted = protonet(backbone, stack, training).scores.argmax(-1)
    for problem in range(stack.size):
        features = stack.support_features[problem].double()
        means = torch.stack([features[stack.labels[problem] == way].mean(0) for way in range(3)])
        nearest = torch.cdist(stack.query_features[problem].double(), means).argmin(-1)
        assert torch.equal(predicted[problem], nearest)
