"""The learned re-ranker: pool, features, training on held-out blocks, calibration, its file."""

import json

import numpy as np
import pytest

from geosearch.errors import ConfigError, InvalidInput
from geosearch.geo import Coordinate
from geosearch.localization.candidates import Neighbor
from geosearch.localization.locator import Locator, LocatorSettings, MoreSources
from geosearch.localization.metric import learn_metric
from geosearch.localization.pool import FUSED, GPS, LEARNED, Pointer, Pool, visual_query
from geosearch.localization.questions import TrainingGallery, ask, place_numbers
from geosearch.localization.ranking import FEATURES, GalleryPrior, cell_of, place_features
from geosearch.localization.reranker import (
    REACH,
    distribution_at,
    load_reranker,
    save_reranker,
)
from geosearch.localization.reranker_training import (
    CALIBRATION_BLOCKS,
    chosen_places,
    train_reranker,
)
from geosearch.records import PhotoFact, photo_id

LUND, PARIS = Coordinate(55.705, 13.193), Coordinate(48.857, 2.352)
PRIOR = FEATURES.index("log_prior")
DIM = 25  # no multiple of 3: one block
CITIES, SPOTS, VIEWS = 110, 3, 4


def fact(name, coordinate, author=None, country=None):
    return PhotoFact(
        photo_id(str(name)), str(name), coordinate, "", country, None, None, author, None, None
    )


def neighbor(name, coordinate, score, **more):
    return Neighbor(fact(name, coordinate, **more), score)


def made_up_gallery(seed=0, authors=False, cities=CITIES):
    """Spots in cities with a look of their own, drowned by what has nothing to do with place."""
    rng = np.random.default_rng(seed)
    nuisance = np.random.default_rng(99).normal(size=(6, DIM)) * 0.9  # the same in all of them
    vectors, photos, block = [], [], []
    for city in range(cities):
        lat, lon = rng.uniform(-60, 60), rng.uniform(-179, 179)
        city_look = rng.normal(size=DIM) * 0.5
        for spot in range(SPOTS):
            look = city_look + rng.normal(size=DIM) * 0.5
            for view in range(VIEWS):
                vector = look + rng.normal(size=6) @ nuisance + rng.normal(size=DIM) * 0.2
                vectors.append(vector / np.linalg.norm(vector))
                where = Coordinate(float(lat) + 0.02 * spot, float(lon))
                author = f"author {view % 2}" if authors else None
                photos.append(fact(f"{city}-{spot}-{view}", where, author, "XX"))
                block.append(city)
    return TrainingGallery(
        np.array(vectors, dtype=np.float32), None, tuple(photos), np.array(block)
    )


@pytest.fixture(scope="module")
def gallery():
    return made_up_gallery()


@pytest.fixture(scope="module")
def reranker(gallery):
    return train_reranker(gallery, encoder="made-up", questions=400)


def test_channels_are_merged_within_a_kilometre_and_keep_where_a_place_comes_from():
    beside = Coordinate(LUND.lat + 0.004, LUND.lon)
    pool = Pool(
        {
            FUSED: [neighbor(1, LUND, 0.9), neighbor(2, PARIS, 0.8)],
            LEARNED: [neighbor(1, LUND, 3.0)],
        },
        [Pointer(beside, 0.4), Pointer(Coordinate(0.0, 180.0), 0.3)],
    )
    places = {place.origins: place.coordinate for place in pool.places}
    assert set(places) == {(FUSED, LEARNED, GPS), (FUSED,), (GPS,)}
    assert places[FUSED, LEARNED, GPS].distance_km(LUND) < 0.5
    assert len(pool.neighbors) == 2  # the photo that two channels found is one voice
    assert pool.voices.sum() == pytest.approx(1.0)
    assert sum(len(place.members) for place in pool.places) == len(pool)


def test_photos_without_a_place_and_unknown_channels_are_refused():
    with pytest.raises(InvalidInput, match="without a place"):
        Pool({FUSED: [neighbor(1, None, 0.9)]})
    with pytest.raises(InvalidInput, match="no channel"):
        Pool({"smell": [neighbor(1, LUND, 0.9)]})


def test_features_say_gap_rank_support_and_agreement_and_leave_absent_channels_empty():
    voices = [
        neighbor(1, LUND, 0.9, country="SE", author="a"),
        neighbor(2, LUND, 0.8, country="SE", author="b"),
        neighbor(3, PARIS, 0.5, country="FR"),
    ]
    table = place_features(Pool({FUSED: voices}), prior=lambda where: np.full(len(where), 9.0))
    best, other = ({n: row[at] for at, n in enumerate(FEATURES)} for row in table)
    assert (best["fused_gap"], best["fused_log_rank"], best["leading_channels"]) == (0.0, 0.0, 1.0)
    assert other["fused_gap"] == pytest.approx(-1.0)
    assert other["fused_log_rank"] == pytest.approx(np.log(3.0))
    assert best["fused_within_25_km"] + other["fused_within_25_km"] == pytest.approx(1.0)
    assert best["log_photos"] == best["log_authors"] == pytest.approx(np.log(3.0))
    assert best["country_share"] > 0.9
    assert best["log_prior"] == other["log_prior"] == 0.0  # as many photos around both
    assert best["fused_stands_out"] == pytest.approx(0.1 / np.std([0.9, 0.8, 0.5]))
    assert np.isnan(
        [best["gps_gap"], best["learned_within_1_km"], best["learned_stands_out"]]
    ).all()


def test_a_prior_counts_the_cells_around_across_the_antimeridian_and_forgets_hidden_photos():
    counts = [(*cell_of(10.1, 179.9), 6), (*cell_of(10.1, -179.9), 4), (*cell_of(50.0, 0.0), 10)]
    prior = GalleryPrior(counts)
    assert prior([Coordinate(10.1, -179.95)]).tolist() == [10.0]
    hidden = prior.without({cell_of(50.0, 0.0): 10})
    assert hidden([Coordinate(10.1, 179.9), Coordinate(50.0, 0.0)]).tolist() == [10.0, 0.0]


def test_the_metric_finds_the_right_place_where_plain_cosines_do_not(gallery):
    spots = np.arange(len(gallery.photos)) // VIEWS
    train, test = gallery.block < CITIES // 2, np.flatnonzero(gallery.block >= CITIES // 2)
    metric = learn_metric(gallery.vectors[train], spots[train])

    def right(asked):
        scores = asked @ gallery.vectors.T
        scores[np.arange(len(test)), test] = -np.inf
        return float(np.mean(spots[scores.argmax(axis=1)] == spots[test]))

    plain = gallery.vectors[test]
    assert right(np.stack([metric.query(one) for one in plain])) > 1.3 * right(plain)


def test_a_metric_of_one_block_asks_vectors_of_three_blocks_alike(gallery):
    metric = learn_metric(gallery.vectors, np.arange(len(gallery.photos)) // VIEWS)
    one = gallery.vectors[0]
    three = np.tile(one, 3) / np.sqrt(3.0, dtype=np.float32)
    assert metric.query(three) == pytest.approx(np.tile(metric.query(one), 3) / 3**0.5, abs=1e-5)


@pytest.mark.parametrize(
    ("apart_deg", "places"), [(0.0002, 20), (0.004, 20), (0.03, 20), (1.0, 60)]
)
def test_the_metric_is_learned_at_the_finest_scale_at_which_photos_have_company(apart_deg, places):
    photos = tuple(
        fact(f"{city}-{view}", Coordinate(3.0 * city - 30.0 + apart_deg * (view - 1), 10.0))
        for city in range(20)
        for view in range(3)
    )
    gallery = TrainingGallery(np.eye(60, dtype=np.float32), None, photos, np.arange(60))
    assert len(set(place_numbers(gallery).tolist())) == places


def test_photos_that_share_no_place_teach_no_metric(gallery):
    assert learn_metric(gallery.vectors, np.arange(len(gallery.photos))) is None


def test_questions_of_the_unknown_kind_find_nothing_of_their_block():
    found = ask(made_up_gallery(cities=40), np.array([0, 5, 100]), None)
    nearest_km = [found.error_km[found.question == q].min() for q in range(len(found.row))]
    assert found.is_known.tolist() == [True, False] * 3
    assert max(nearest_km[0::2]) < 10.0
    assert min(nearest_km[1::2]) > 10.0


def test_no_prior_tells_which_place_is_right_nor_whether_it_is_in_the_gallery():
    """Every city has as many photos, the right one, too: the prior has nothing to say."""
    found = ask(made_up_gallery(cities=40), np.array([0, 5, 100]), None, neighbors=500)
    at_the_truth = found.is_known[found.question] & (found.error_km < 0.5)
    assert at_the_truth.sum() == 3
    assert found.features[:, PRIOR] == pytest.approx(0.0, abs=1e-9)


def test_a_gallery_that_grows_everywhere_alike_leaves_the_features_of_the_prior_as_they_were():
    voices = [neighbor(1, LUND, 0.9), neighbor(2, PARIS, 0.8)]
    small = np.array([30.0, 300.0])
    tables = [
        place_features(Pool({FUSED: voices}), prior=lambda where, n=n: n * small)
        for n in (1.0, 100.0)
    ]
    assert tables[0][:, PRIOR] == pytest.approx(tables[1][:, PRIOR], abs=0.05)
    assert tables[0][1, PRIOR] - tables[0][0, PRIOR] == pytest.approx(np.log(10.0), abs=0.05)


def test_features_beyond_what_was_learned_from_are_cut_off(reranker):
    features = np.tile(reranker.mean, (2, 1))
    for column in range(len(FEATURES)):
        features[0, column] = reranker.mean[column] + REACH * reranker.scale[column]
        features[1, column] = reranker.mean[column] + 1000.0 * reranker.scale[column]
        odds = reranker.log_odds(features)
        assert odds[1] == pytest.approx(odds[0])
        features[:, column] = reranker.mean[column]


def test_photos_of_fewer_blocks_than_calibration_takes_are_ranked_but_nothing_is_stated():
    few = made_up_gallery(cities=CALIBRATION_BLOCKS - 1)
    reranker = train_reranker(few, encoder="made-up", questions=600)
    assert reranker.conformal is None
    assert (reranker.about["blocks"], reranker.about["blocks_needed"]) == (99, 100)
    found, _ = located(reranker, few, 17, settings=LocatorSettings(max_spread_km=None))
    assert not found.is_calibrated
    assert found.best.within == {}
    assert set(found.best.radius_km) == {50, 90}
    ranking, uncertainty = found.steps[-2:]
    assert "25 km" not in ranking.summary
    assert "calibration takes 100 blocks of one degree, there are 99" in uncertainty.summary


def test_answers_that_were_all_right_do_not_make_a_certainty():
    """Twelve cities so unlike each other that every known photo is placed right."""
    rng = np.random.default_rng(0)
    looks = np.eye(DIM)[:12]
    city = np.repeat(np.arange(12), 8)
    vectors = looks[city] + 0.01 * rng.normal(size=(len(city), DIM))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    photos = tuple(
        fact(f"{row}", Coordinate(-50.0 + 9.0 * at, 10.0 * at + 0.001 * row))
        for row, at in enumerate(city.tolist())
    )
    gallery = TrainingGallery(vectors.astype(np.float32), None, photos, city)
    reranker = train_reranker(gallery, encoder="made-up")
    found = ask(gallery, np.arange(len(city)), reranker.metric)
    answers = chosen_places(reranker, found)
    assert (found.error_km[answers][found.is_known] <= 25.0).all()
    stated = reranker.probabilities(found.features[answers])
    assert stated[:, 1].max() < 0.995


def test_photos_of_the_same_author_at_the_same_spot_are_not_found_either():
    gallery = made_up_gallery(authors=True, cities=40)
    asked = ask(gallery, np.array([0]), None, neighbors=500)
    at_the_spot = FEATURES.index("log_photos")
    spot = np.flatnonzero(asked.error_km[asked.question == 0] < 0.5)
    assert np.expm1(asked.features[spot, at_the_spot]) == pytest.approx([VIEWS / 2])


def test_the_re_ranker_is_right_more_often_than_the_nearest_photo_on_other_blocks(reranker):
    other = made_up_gallery(seed=1)
    found = ask(other, np.arange(0, len(other.photos), 5), reranker.metric)
    known = found.is_known
    answered = found.error_km[chosen_places(reranker, found)] <= 25.0
    first = FEATURES.index("fused_log_rank")
    nearest = found.error_km[(found.features[:, first] == 0.0)] <= 25.0
    assert answered[known].mean() > nearest[known].mean() + 0.1


def test_radii_hold_their_share_of_truths_on_blocks_that_were_not_trained_on(reranker):
    held = {50: [], 90: []}
    for seed in (2, 3):
        other = made_up_gallery(seed=seed)
        found = ask(other, np.arange(0, len(other.photos), 4), reranker.metric)
        answers = chosen_places(reranker, found)
        for row, error_km in zip(
            reranker.probabilities(found.features[answers]), found.error_km[answers], strict=True
        ):
            for level, inside in held.items():
                inside.append(error_km <= reranker.radius_km(row, level))
    assert 0.86 < np.mean(held[90])  # for either kind of question, so for both by no less
    assert 0.42 < np.mean(held[50]) < 0.62
    assert np.mean(held[50]) < np.mean(held[90]) < 1.0


def test_probabilities_rise_with_distance_and_stay_probabilities(reranker, gallery):
    found = ask(gallery, np.array([3, 70]), reranker.metric)
    table = reranker.probabilities(found.features)
    assert ((table >= 0.0) & (table <= 1.0)).all()
    assert (np.diff(table, axis=1) >= 0.0).all()


def test_the_predicted_distribution_runs_from_nothing_to_everything():
    row = np.array([[0.1, 0.3, 0.4, 0.5, 0.6, 0.7, 0.9]])
    assert distribution_at(row, np.array([0.0]))[0] == 0.0
    assert distribution_at(row, np.array([25.0]))[0] == pytest.approx(0.3)
    assert distribution_at(row, np.array([20_037.0]))[0] == pytest.approx(1.0, abs=1e-3)


def test_a_saved_re_ranker_comes_back_the_same(reranker, tmp_path, gallery):
    path = tmp_path / "rerankers" / "x.npz"
    save_reranker(reranker, path)
    again = load_reranker(path, encoder="made-up")
    features = ask(gallery, np.array([1]), reranker.metric).features
    assert np.array_equal(again.probabilities(features), reranker.probabilities(features))
    assert again.conformal == reranker.conformal
    assert again.about == reranker.about
    assert np.array_equal(again.metric.matrix, reranker.metric.matrix)


def test_a_re_ranker_of_another_encoder_is_refused(reranker, tmp_path):
    save_reranker(reranker, tmp_path / "x.npz")
    with pytest.raises(ConfigError, match="re-ranker of the encoder made-up"):
        load_reranker(tmp_path / "x.npz", encoder="another")
    with pytest.raises(ConfigError, match="for the encoder made-up"):
        Locator(lambda query, limit: [], str, encoder="another", reranker=reranker)


def test_no_file_is_no_re_ranker(tmp_path):
    assert load_reranker(tmp_path / "x.npz", encoder="e") is None


@pytest.mark.parametrize("damage", ["truncated", "text", "nan", "shape", "pickle"])
def test_a_damaged_file_is_refused_with_what_to_do(reranker, tmp_path, damage):
    path = tmp_path / "x.npz"
    save_reranker(reranker, path)
    with np.load(path) as stored:
        arrays = dict(stored)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:200])
    elif damage == "text":
        path.write_text("no archive")
    elif damage == "pickle":
        np.savez(path, **(arrays | {"mean": np.array([{"a": 1}], dtype=object)}))
    else:
        bad = np.full(len(FEATURES), np.nan) if damage == "nan" else np.zeros(3)
        np.savez(path, **(arrays | {"mean": bad}))
    with pytest.raises(InvalidInput, match="train reranker"):
        load_reranker(path, encoder="made-up")


def test_features_of_another_version_are_refused(reranker, tmp_path):
    path = tmp_path / "x.npz"
    save_reranker(reranker, path)
    with np.load(path) as stored:
        arrays = dict(stored)
    document = json.loads(str(arrays["document"])) | {"features": ["one"]}
    np.savez(path, **(arrays | {"document": np.array(json.dumps(document))}))
    with pytest.raises(ConfigError, match="another version"):
        load_reranker(path, encoder="made-up")


def test_too_few_photos_or_blocks_are_refused():
    gallery = made_up_gallery()
    few = TrainingGallery(gallery.vectors[:48], None, gallery.photos[:48], gallery.block[:48])
    with pytest.raises(ConfigError, match="blocks"):
        train_reranker(few, encoder="e")
    with pytest.raises(ConfigError, match="too few"):
        train_reranker(gallery, encoder="e", questions=20)


def located(reranker, gallery, row, **options):
    asked = []

    def nearest(query, limit):
        asked.append(query)
        scores = gallery.vectors @ query
        scores[row] = -np.inf
        order = np.argsort(-scores)[:limit]
        return [Neighbor(gallery.photos[at], float(scores[at])) for at in order if at != row]

    locator = Locator(nearest, lambda _: "", encoder="made-up", reranker=reranker, **options)
    return locator.locate(gallery.vectors[row], image="q"), asked


def test_a_located_photo_says_probabilities_radii_channels_and_that_they_are_calibrated(
    reranker, gallery
):
    always = LocatorSettings(max_spread_km=None)
    found, asked = located(reranker, gallery, 17, settings=always)
    assert found.is_calibrated
    assert len(asked) == 2  # the fused and the learned channel
    assert list(found.best.within) == [1, 25, 200, 750, 2500]
    assert set(found.best.origins) <= {FUSED, LEARNED}
    assert 0.0 < found.best.radius_km[50] < found.best.radius_km[90]
    assert "calibrated on" in found.steps[-1].summary
    places = [found.best.coordinate, *(one.coordinate for one in found.alternatives)]
    apart = [a.distance_km(b) for a in places for b in places if a != b]
    assert min(apart) > 49.0
    assert all(one.evidence for one in found.alternatives)


def test_without_a_re_ranker_the_answer_says_that_it_is_not_calibrated(gallery):
    found, _ = located(None, gallery, 17, settings=LocatorSettings(max_spread_km=None))
    assert not found.is_calibrated
    assert "not calibrated" in found.steps[-1].summary


def test_what_is_shown_is_completed_and_photos_that_nobody_knows_are_left_out(gallery):
    lost = gallery.photos[18].id

    def complete(found):
        return [
            Neighbor(fact(one.photo.path, one.photo.coordinate, author="known"), one.score)
            for one in found
            if one.photo.id != lost
        ]

    far = neighbor("far", PARIS, -0.5)
    sources = MoreSources(farthest=lambda query, limit: [far][:limit], complete=complete)
    found, _ = located(
        None, gallery, 17, sources=sources, settings=LocatorSettings(max_spread_km=None)
    )
    shown = [item.photo for item in found.best.evidence]
    assert shown
    assert {one.author for one in shown} == {"known"}
    assert lost not in {one.id for one in shown}
    assert [hit.photo.path for hit in found.negatives] == ["far"]


def test_photos_that_the_catalogue_has_let_go_of_do_not_speak_and_all_is_looked_up_at_once():
    gone = [neighbor(f"gone {n}", PARIS, 0.95 - 0.001 * n) for n in range(6)]
    kept = [neighbor(f"kept {n}", LUND, 0.9 - 0.001 * n) for n in range(6)]
    lost, asked = {one.photo.id for one in gone}, []

    def complete(found):
        asked.append(len(found))
        return [one for one in found if one.photo.id not in lost]

    far = neighbor("far", Coordinate(0.0, 100.0), -0.5)

    def located_among(photos):
        sources = MoreSources(farthest=lambda query, limit: [far], complete=complete)
        locator = Locator(lambda query, limit: photos, lambda _: "", encoder="e", sources=sources)
        return locator.locate(np.array([1.0], np.float32), image="q")

    assert located_among(kept).best.coordinate.distance_km(LUND) < 1.0
    assert asked == [7]
    found = located_among(gone + kept)
    assert found.best.coordinate.distance_km(LUND) < 1.0
    assert not found.alternatives


def test_queries_of_the_learned_metric_have_a_source_of_their_own(reranker, gallery):
    asked = []

    def learned(query, limit):
        asked.append(query)
        return [Neighbor(gallery.photos[3], 1.0)]

    _, others = located(reranker, gallery, 17, sources=MoreSources(learned=learned))
    assert len(asked) == len(others) == 1
    assert asked[0] == pytest.approx(reranker.metric.query(gallery.vectors[17]))


def test_only_vectors_whose_blocks_differ_have_a_visual_channel():
    alike = np.tile(np.array([0.6, 0.8], np.float32), 3)
    assert visual_query(alike) is None
    assert visual_query(np.array([1, 0, 0, 1, 0, 1], np.float32)).tolist() == [1, 0, 0, 0, 0, 0]
    assert visual_query(np.array([0, 0, 0, 1, 0, 1], np.float32)) is None
