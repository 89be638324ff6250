"""Models as the trainer's settings make them."""

import doctest

import pytest
from pydantic import ValidationError

from trainer.models import ITEM_MODELS, MODELS, making
from trainer.models.cosine import Cosine, CosineConfig
from trainer.models.ease import Ease, EaseConfig
from trainer.models.making import model_of
from trainer.models.popular import Popular, PopularConfig
from trainer.models.rp3beta import Rp3Beta, Rp3BetaConfig
from trainer.models.user_knn import UserKnn, UserKnnConfig
from trainer.settings import TrainerSettings

EVERYTHING_SET = TrainerSettings(
    neighbors_per_item=7,
    cosine_shrinkage=3,
    cosine_popularity_damping=0.6,
    cosine_popular_removed=4,
    ease_regularization=5,
    ease_neighborhood=60,
    rp3beta_alpha=0.9,
    rp3beta_beta=0.2,
    user_neighbors=8,
    user_metric="raw",
    recommendations_per_user=9,
    popular_items=11,
)


@pytest.mark.parametrize(
    "model",
    [
        Cosine(CosineConfig(neighbors=7, shrinkage=3, popularity_damping=0.6, popular_removed=4)),
        Ease(EaseConfig(neighbors=7, regularization=5, neighborhood=60)),
        Rp3Beta(Rp3BetaConfig(neighbors=7, alpha=0.9, beta=0.2)),
        Popular(PopularConfig(items=11)),
        UserKnn(UserKnnConfig(k=8, metric="raw", recommendations=9)),
    ],
    ids=lambda model: model.name,
)
def test_every_setting_reaches_its_model(model: object) -> None:
    assert model_of(getattr(model, "name", ""), EVERYTHING_SET) == model


@pytest.mark.parametrize("name", MODELS)
def test_the_trainer_is_set_as_a_model_sets_itself(name: str) -> None:
    assert TrainerSettings().of_models()[name] == MODELS[name].config().model_dump()


@pytest.mark.parametrize("name", ITEM_MODELS)
def test_a_generation_depends_on_the_chosen_item_model_only(name: str) -> None:
    depends_on = TrainerSettings.model_validate({"item_model": name}).of_generation()
    assert list(depends_on) == [name, "user-knn", "popular"]
    assert depends_on["user-knn"]["active_users"] == TrainerSettings().active_users


@pytest.mark.parametrize("wrong", ["popular", "user-knn", "svd"])
def test_what_is_no_item_model_is_refused_with_those_that_are(
    wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ITEM_MODEL", wrong)
    with pytest.raises(ValidationError, match=r"item_model\n.*'cosine', 'ease' or 'rp3beta'"):
        TrainerSettings()


def test_examples_hold() -> None:
    assert doctest.testmod(making).failed == 0
