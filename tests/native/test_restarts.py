"""Positions that restart without documents are refused, also where a position only repeats."""

import pytest
import torch
from tiny import config, tokens

from ropewalk.errors import UserError
from ropewalk.native.decoder import Decoder


@pytest.mark.parametrize("places", [[0, 1, 0, 1], [0, 1, 1, 2], [0, 0, 1, 2], [3, 2, 1, 0]])
def test_a_restart_without_documents_is_refused(places: list[int]) -> None:
    with pytest.raises(UserError, match="restart"):
        Decoder(config(), seed=0)(tokens(1, 4), torch.tensor([places]))


def test_gaps_and_documents_are_accepted() -> None:
    model = Decoder(config(), seed=0)
    model(tokens(1, 4), torch.tensor([[5, 6, 9, 10]]))
    model(tokens(1, 4), torch.tensor([[0, 1, 0, 1]]), document_ids=torch.tensor([[0, 0, 1, 1]]))
