"""The default of every hyper-parameter, for configurations, the method and its interface alike. Loads no torch.

They are in the hashes of configurations that leave a field out: another value here makes another configuration.
"""

SOLVER = "lora"
HEAD = "protonet"
TEMPERATURE = 1.0
HEAD_MULTIPLIER = 20.0
LR = 5e-3
EPOCHS = 10
BATCH = 0  # images of a mini-batch; 0 for the whole support set
BLOCKS = 1  # adapted, from the top
RANK = 4  # of LoRA's updates
TOKENS = 10  # that VPT adds, to every adapted block if DEEP, else to the first
DEEP = True
EMBEDDINGS = False  # whether SSF and full fine-tuning adapt what comes before the blocks too

VARIANT = "scaled"
ORDER = None  # of the product of layers: the variant's own
LAM = 1.0
ALPHA = 1.0
TAU = 1.0
PATCHES = 6  # of a prompt
CONTRAST = 1.0  # of `contrast`: by Bayes' rule
LAYERS = 1  # steered, from the top
ROWS = None  # whose attention is steered: the variant's own
HEADS = "mean"

SEED = 0
