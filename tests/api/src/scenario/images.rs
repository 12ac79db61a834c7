//! Images.

use super::Step;

pub(super) fn steps() -> Vec<Step> {
    vec![
        Step::get("images", "/images/json"),
        Step::get("images by a wrong filter", "/images/json?filters=%7B%22x%22%3A%5B%22y%22%5D%7D"),
        Step::get(
            "images by reference",
            "/images/json?filters=%7B%22reference%22%3A%5B%22nothing%22%5D%7D",
        ),
        Step::get("an image", "/images/web/json"),
        Step::get("an image's history", "/images/web:latest/history"),
        Step::get("an image with its manifests", "/images/web/json?manifests=1"),
        Step::get("images with their manifests", "/images/json?manifests=1&shared-size=1"),
        Step::post("pull an image that is there", "/images/create?fromImage=web&tag=latest"),
        Step::post("tag an image", "/images/web/tag?repo=other/name&tag=v1"),
        Step::post("tag with a bad name", "/images/web/tag?repo=Other&tag=v1"),
        Step::get("an image with two names", "/images/other/name:v1/json"),
        Step::delete("remove a name of an image", "/images/other/name:v1"),
    ]
}
