//! Removing images and names of images.

use super::list::short_id;
use super::{DANGLING, Named};
use crate::container::Container;
use crate::error::{Error, Result};
use crate::requests::ImageRemoveOptions;
use crate::shared::Shared;
use crate::supervisor::failed;
use base_errors::Kind;
use base_ids::reference::Reference;
use contracts_engine_api::image::DeleteResponse;
use contracts_supervisor_api::services::images::DeleteImageRequest;
use contracts_supervisor_api::status;
use std::sync::Arc;

impl Shared {
    /// `DELETE /images/{name}`.
    pub(crate) async fn image_remove(
        &self,
        name: &str,
        options: ImageRemoveOptions,
    ) -> Result<Vec<DeleteResponse>> {
        let found = self.images.find(name).await?;
        let digest = found.target.digest.clone();
        let all = self.images.all().await?;
        let names: Vec<Named> = all.into_iter().filter(|i| i.target.digest == digest).collect();
        let by_name = Reference::parse(name).is_ok_and(|r| r.to_string() == found.name);
        let repositories = |names: &[Named]| {
            let mut list: Vec<String> = names
                .iter()
                .filter_map(|image| Reference::parse_bare(&image.name).ok())
                .map(|reference| reference.name())
                .collect();
            list.sort();
            list.dedup();
            list.len()
        };
        if by_name && names.len() > 1 {
            return self.untag(&[found]).await;
        }
        if !by_name && repositories(&names) > 1 && !options.force {
            return Err(Error::Conflict(format!(
                "conflict: unable to delete {} (must be forced) - image is referenced in multiple \
                 repositories",
                short_id(&digest)
            )));
        }
        let what = if by_name { familiar(&found.name) } else { short_id(&digest).to_owned() };
        let keep = self.check_users(&what, &digest, by_name, options.force)?;
        if keep {
            // Forced: the name goes, the content stays for its containers.
            self.images.set_name(&format!("{DANGLING}{digest}"), found.target.clone()).await?;
            return self.untag(&names).await;
        }
        let mut removed = self.untag(&names).await?;
        self.events.emit("image", "delete", &digest, [("name".to_owned(), digest.clone())].into());
        removed.push(DeleteResponse { deleted: digest, untagged: String::new() });
        Ok(removed)
    }

    /// Fails when containers need the image; true when forced although they do.
    fn check_users(&self, what: &str, digest: &str, by_name: bool, force: bool) -> Result<bool> {
        let users: Vec<Arc<Container>> = self
            .containers
            .all()
            .into_iter()
            .filter(|container| container.record.image.id.as_str() == digest)
            .collect();
        let running = users.iter().find(|container| container.view().running());
        let conflict = |how: &str, why: String| {
            Err(Error::Conflict(format!("conflict: unable to delete {what} ({how}) - {why}")))
        };
        if let Some(user) = running
            && !by_name
        {
            let why = format!("image is being used by running container {}", user.id().short());
            return conflict("cannot be forced", why);
        }
        match users.first() {
            Some(user) if !force => {
                let (user, image) = (user.id().short(), short_id(digest));
                let why = if by_name {
                    format!("container {user} is using its referenced image {image}")
                } else {
                    format!("image is being used by stopped container {user}")
                };
                conflict("must be forced", why)
            }
            Some(_) => Ok(true),
            None => Ok(false),
        }
    }

    async fn untag(&self, names: &[Named]) -> Result<Vec<DeleteResponse>> {
        let mut removed = Vec::new();
        for image in names {
            let request = DeleteImageRequest {
                name: image.name.clone(),
                sync: true,
                target: Some(image.target.clone()),
            };
            let supervisor = self.images.supervisor();
            match supervisor.images().delete(supervisor.call(request)).await {
                Ok(_) => {}
                Err(error) if status::kind(&error) == Kind::NotFound => continue,
                Err(error) => return Err(failed("remove image name")(error)),
            }
            if !image.name.starts_with(DANGLING) {
                let name = familiar(&image.name);
                let attributes = [("name".to_owned(), name.clone())].into();
                self.events.emit("image", "untag", &image.target.digest, attributes);
                removed.push(DeleteResponse { untagged: name, deleted: String::new() });
            }
        }
        Ok(removed)
    }
}

fn familiar(name: &str) -> String {
    Reference::parse_bare(name).map_or_else(|_| name.to_owned(), |reference| reference.familiar())
}
