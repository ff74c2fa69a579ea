import torch

from conformance import ModelConformance
from exporters.wrappers.masked_lm import context
from zoo.models.roberta import ROBERTA_BASE


class TestRoBERTa(ModelConformance):
    model = ROBERTA_BASE

    def test_positions_begin_after_the_id_of_the_padding_token(self, twin):
        table = twin.roberta.embeddings.position_embeddings
        assert table.padding_idx == twin.config.pad_token_id
        assert context(twin) == table.num_embeddings - table.padding_idx - 1

    def test_padding_changes_nothing(self, twin):
        tokens = torch.arange(4, 40).unsqueeze(0)
        padded = torch.nn.functional.pad(tokens, (0, 8), value=twin.config.pad_token_id)
        with torch.no_grad():
            found = twin(padded, attention_mask=(padded != twin.config.pad_token_id).long()).logits[:, :36]
            torch.testing.assert_close(found, twin(tokens).logits, atol=1e-4, rtol=0)
