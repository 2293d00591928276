import pytest
import torch
import torch.nn.functional as F

from fpt.heads.closed_form import protonet
from fpt.randomness import generator
from fpt.solvers import Training
from fpt.solvers.linear_probe import linear_probe


def probe_alone(stack, training, problem):
    """One problem with torch's own layer, loss and optimiser, in float64."""
    weight, bias = protonet(stack.support_features[[problem]], stack.labels[[problem]], training.way, 1.0)
    layer = torch.nn.utils.skip_init(torch.nn.Linear, weight.shape[2], training.way, dtype=torch.float64)
    layer.weight.data, layer.bias.data = (training.head_multiplier * part[0].double() for part in (weight, bias))
    optimiser = torch.optim.SGD(
        layer.parameters(), lr=float(stack.lr[problem]), momentum=0.9, dampening=0.9, weight_decay=1e-3
    )
    features, labels = stack.support_features[problem].double(), stack.labels[problem]
    random = generator(*stack.seeds[problem], "batches")
    for _ in range(training.epochs):
        order = torch.from_numpy(random.permutation(len(labels))) if training.batch else torch.arange(len(labels))
        for chosen in order.split(training.batch or len(labels)):
            optimiser.zero_grad()
            F.cross_entropy(layer(features[chosen]) / training.head_multiplier, labels[chosen]).backward()
            optimiser.step()
    return layer(stack.query_features[problem].double()).detach() / training.head_multiplier


@pytest.mark.parametrize("batch", [0, 4])
def test_each_problem_is_torchs_own_linear_layer_under_sgd(backbone, stack_for, batch):
    training = Training(way=3, epochs=20, batch=batch, head_multiplier=2.0)
    stack = stack_for("linear_probe", training)
    found = linear_probe(backbone, stack, training).scores
    start = linear_probe(backbone, stack, Training(way=3, epochs=0)).scores
    for problem in range(stack.size):
        expected = probe_alone(stack, training, problem).float()
        torch.testing.assert_close(found[problem], expected, rtol=1e-5, atol=1e-4)
        assert (expected - start[problem]).abs().max() > 0.005
