"""Increments as a PEFT method, so that adapters are saved, loaded, named and switched as people expect.

    peft.get_peft_model(model, RopewalkConfig(task_type="CAUSAL_LM"))      # after `import ropewalk.hf`
    peft.PeftModel.from_pretrained(model, folder)

Knows PEFT's tuners and the seam; the increments themselves are those of every graft. There is nothing to
merge: a position that depends on what was read is not a weight.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from peft import PeftConfig
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils import PeftType, register_peft_method
from pydantic import ValidationError
from torch import Tensor, nn

from ropewalk.core.increment_config import IncrementConfig
from ropewalk.core.init import init_weights
from ropewalk.errors import UserError, first_problem
from ropewalk.hf import grafting
from ropewalk.hf.grafted import Grafted
from ropewalk.hf.hooks import GraftHooks
from ropewalk.hf.identity import identity, quantised
from ropewalk.hf.inspect_model import HostStructure, inspect_model

NAME = "ropewalk"


def _extended(name: str) -> Any:
    """The member of PEFT's enumeration of methods, added if it is not there."""
    if name not in PeftType.__members__:
        member = str.__new__(PeftType, name)
        member._name_ = member._value_ = name
        member._sort_order_ = len(PeftType._member_names_)  # type: ignore[attr-defined]
        PeftType._member_map_[name] = member
        PeftType._value2member_map_[name] = member
        PeftType._member_names_.append(name)
    return PeftType[name]


TYPE = _extended(NAME.upper())


@dataclass
class RopewalkConfig(PeftConfig):
    """A graft as an adapter's configuration; the fields are those of `ropewalk.hf.graft`.

    `target_modules` and `base` are filled in: where the increments are, and which model they belong to.
    """

    parametrization: str = "bounded"
    per: str = "layer"
    per_head: bool = False
    gap: str = "before"
    hidden_size: int = 64
    max_increment: float = 10.0
    seed: int = 0
    target_modules: Any = None
    exclude_modules: Any = None
    modules_to_save: list[str] | None = None
    base: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = TYPE

    @property
    def increments(self) -> IncrementConfig:
        """The checked configuration of the increments."""
        names = ("parametrization", "per", "per_head", "gap", "hidden_size", "max_increment")
        try:
            return IncrementConfig(**{name: getattr(self, name) for name in names})
        except ValidationError as error:
            raise UserError(f"this adapter's configuration does not hold: {first_problem(error)}.") from error


class Adapted(nn.Module, BaseTunerLayer):
    """A child of an attention (or of the decoder) that holds the increments of each adapter."""

    adapter_layer_names = ("ropewalk_increments",)
    other_param_names = ()

    def __init__(self, owner: nn.Module) -> None:
        nn.Module.__init__(self)
        self.ropewalk_increments = nn.ModuleDict()
        self.merged_adapters: list[str] = []
        self._disable_adapters = False
        self._active_adapter: Any = []
        self.__dict__["owner"] = owner

    def get_base_layer(self) -> nn.Module:
        return self.__dict__["owner"]

    def take(self, name: str, parametrization: nn.Module, inference: bool) -> None:
        """Adds an adapter and makes it the active one."""
        self.ropewalk_increments[name] = parametrization.to(next(self.get_base_layer().parameters()).device)
        self.set_adapter([name], inference_mode=inference)

    def increments(self, x: Tensor) -> Tensor | None:
        """r of the active adapters for an input x (B, T, C); None when none is active."""
        if self.disable_adapters:
            return None
        r = [
            self.ropewalk_increments[name](x)
            for name in self.active_adapters
            if name in self.ropewalk_increments
        ]
        return sum(r[1:], r[0]) if r else None


class Tuner(BaseTuner):
    """Puts adapters on a model and takes them off again."""

    prefix = "ropewalk_"
    tuner_layer_cls = Adapted
    target_module_mapping: dict[str, Any] = {}  # noqa: RUF012  # PEFT's own form

    def _prepare_adapter_config(self, peft_config: Any, model_config: Any) -> Any:
        config: IncrementConfig = peft_config.increments
        anatomy = self._examined(peft_config)
        here = identity(self.model)
        compared = {"architecture"} if quantised(self.model) else set(here)
        differs = sorted(key for key in compared if here[key] != (peft_config.base or here).get(key))
        if differs:
            raise UserError(
                f"this adapter belongs to another base model (its {', '.join(differs)} differ from this "
                f"{here['architecture']}'s); load it onto the model it was trained on."
            )
        peft_config.base = here
        owners = {id(owner) for owner in grafting.owners_of(anatomy, config)}
        peft_config.target_modules = sorted(
            name.removeprefix("base_model.model.")
            for name, module in self.model.named_modules(remove_duplicate=False)
            if id(module) in owners
        )
        return peft_config

    def _examined(self, peft_config: Any) -> HostStructure:
        if "anatomy" not in self.__dict__:
            self.__dict__["anatomy"] = inspect_model(self.model)
        return self.__dict__["anatomy"]

    def _create_and_replace(
        self, peft_config: Any, adapter_name: str, target: Any, *more: Any, **named: Any
    ) -> None:
        anatomy, config = self._examined(peft_config), peft_config.increments
        if not any(target is owner for owner in grafting.owners_of(anatomy, config)):
            return
        seam: GraftHooks | None = self.__dict__.get("seam")
        if seam is None:
            self.__dict__["seam"] = grafting.attach(anatomy, config, _active)
            self.__dict__["config_"] = config
        elif (config.gap, config.per, config.per_head) != _form(self.__dict__["config_"]):
            raise UserError(
                "adapters on one model must agree in per, lines and gap; load this one onto a model of its "
                "own."
            )
        if not isinstance(target._modules.get(NAME), Adapted):
            target.add_module(NAME, Adapted(target))
        parametrization = grafting.build(anatomy, config)
        init_weights(parametrization, peft_config.seed)
        target._modules[NAME].take(adapter_name, parametrization, peft_config.inference_mode)

    def unload(self) -> Any:
        """Takes all of it off; the base model is what it was."""
        seam: GraftHooks | None = self.__dict__.pop("seam", None)
        if seam is not None:
            seam.remove()
        for module in self.model.modules():
            if isinstance(module._modules.get(NAME), Adapted):
                del module._modules[NAME]
        return self.model

    def merge_adapter(self, *args: Any, **kwargs: Any) -> None:
        raise UserError(
            "increments depend on what is read and cannot be merged into weights; keep the adapter."
        )

    def merge_and_unload(self, *args: Any, **kwargs: Any) -> Any:
        self.merge_adapter()

    @classmethod
    def _remove_adapter_name_from_key(cls, key: str, adapter_name: str) -> str:
        return key.replace(f".ropewalk_increments.{adapter_name}.", ".ropewalk_increments.", 1)


def host(model: Any) -> Grafted:
    """A PEFT model with increments as a `ropewalk.core.host.Host`, for traces, probes and vocabulary tables."""
    tuner = model
    while tuner is not None and not (isinstance(tuner, Tuner) and "seam" in tuner.__dict__):
        tuner = getattr(tuner, "base_model", None) if not isinstance(tuner, Tuner) else None
        if tuner is not None and not isinstance(tuner, Tuner):
            tuner = tuner.model if hasattr(tuner, "model") else None
    if tuner is None:
        raise UserError("this PEFT model carries no increments; add an adapter made with RopewalkConfig.")
    return Grafted(model, tuner.__dict__["config_"], tuner.__dict__["anatomy"], tuner.__dict__["seam"])


def _form(config: IncrementConfig) -> tuple[str, str, bool]:
    return config.gap, config.per, config.per_head


def _active(owner: nn.Module, x: Tensor) -> Tensor | None:
    adapted = owner._modules.get(NAME)
    return adapted.increments(x) if isinstance(adapted, Adapted) else None


def register() -> None:
    """Makes PEFT know the method; doing it twice does no harm."""
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    if TYPE not in PEFT_TYPE_TO_CONFIG_MAPPING:
        register_peft_method(name=NAME, config_cls=RopewalkConfig, model_cls=Tuner, is_mixed_compatible=True)


register()
