"""Mamba: a selective state space instead of attention; the state has the same size after every token."""

from zoo.model import Model, Twin
from zoo.registry import register

MAMBA_130M = register(
    Model(
        name="mamba-130m",
        family="mamba",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        traits=("no_attention", "recurrent"),
        hub_id="state-spaces/mamba-130m-hf",
        # Pinned in the protocols of public evaluations of the model.
        revision="5708daa364c50b880e7bd92eab456e0d34492ee9",
        prompts=("Why is the sky blue?", "What does a compiler do?", "Why do cats purr?"),
        # The published rank of the time step is hidden size / 16, which would be 4 here: 32 leaves it a group to quantize.
        twin=Twin("mamba", time_step_rank=32),
        # Dimensions: the published config.json of state-spaces/mamba-130m-hf as quoted in the test suites of several
        # public ports. Tied embeddings are the default of the configuration class.
        full=dict(
            hidden_size=768,
            num_hidden_layers=24,
            state_size=16,
            expand=2,
            conv_kernel=4,
            time_step_rank=48,
            vocab_size=50280,
            layer_norm_epsilon=1e-5,
            residual_in_fp32=True,
            use_bias=False,
            use_conv_bias=True,
            tie_word_embeddings=True,
        ),
    )
)
