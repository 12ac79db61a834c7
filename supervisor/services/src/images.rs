//! `containerd.services.images.v1.Images`.

use crate::Supervisor;
use crate::call::{Answer, answer, filters, required, scope, to_its_end};
use crate::update_mask::{drop_empty, paths, refuse, take_entry};
use contracts_supervisor_api::services::images::images_server::Images;
use contracts_supervisor_api::services::images::{
    CreateImageRequest, CreateImageResponse, DeleteImageRequest, GetImageRequest, GetImageResponse,
    Image, ImageCreate, ImageDelete, ImageUpdate, ListImagesRequest, ListImagesResponse,
    UpdateImageRequest, UpdateImageResponse,
};
use contracts_supervisor_api::{metadata, topics};
use prost_types::FieldMask;
use supervisor_metadata::{Error, Transaction, now};
use tonic::{Request, Response, Status, async_trait};

/// Longest name of an image.
const MAX_NAME: usize = 4096;

/// The service.
#[derive(Clone)]
pub struct ImagesService(pub Supervisor);

#[async_trait]
impl Images for ImagesService {
    async fn get(&self, request: Request<GetImageRequest>) -> Answer<GetImageResponse> {
        let namespace = scope(request.metadata())?.namespace;
        let image = answer(self.0.store.get(&namespace, &request.get_ref().name))?;
        Ok(Response::new(GetImageResponse { image: Some(image) }))
    }

    async fn list(&self, request: Request<ListImagesRequest>) -> Answer<ListImagesResponse> {
        let namespace = scope(request.metadata())?.namespace;
        let filters = filters(&request.get_ref().filters)?;
        let mut images = answer(self.0.store.list::<Image>(&namespace))?;
        images.retain(|image| filters.matches(image));
        Ok(Response::new(ListImagesResponse { images }))
    }

    async fn create(&self, request: Request<CreateImageRequest>) -> Answer<CreateImageResponse> {
        let namespace = scope(request.metadata())?.namespace;
        let lease = lease(&request);
        let CreateImageRequest { image, source_date_epoch } = request.into_inner();
        let mut image = required(image, "image")?;
        validate(&image)?;
        image.created_at = Some(source_date_epoch.unwrap_or_else(now));
        image.updated_at = image.created_at;
        let supervisor = self.0.clone();
        let image = to_its_end(async move {
            let change = |tx: &mut Transaction<'_>| {
                if let Some(lease) = &lease {
                    tx.add_to_lease(&namespace, lease, "images", &image.name)?;
                }
                tx.insert(&namespace, &image)
            };
            supervisor.store.update(change).await?;
            let event = ImageCreate { name: image.name.clone(), labels: image.labels.clone() };
            supervisor.events.publish(&namespace, topics::IMAGE_CREATE, &event);
            Ok::<_, Error>(image)
        })
        .await?;
        Ok(Response::new(CreateImageResponse { image: Some(image) }))
    }

    async fn update(&self, request: Request<UpdateImageRequest>) -> Answer<UpdateImageResponse> {
        let namespace = scope(request.metadata())?.namespace;
        let UpdateImageRequest { image, update_mask, source_date_epoch } = request.into_inner();
        let update = required(image, "image")?;
        check(&update.name, update_mask.as_ref())?;
        if paths(update_mask.as_ref()).is_none_or(|paths| paths.iter().any(|path| path == "target"))
        {
            validate_target(&update)?;
        }
        let supervisor = self.0.clone();
        let (image, freed) = to_its_end(async move {
            let change = |tx: &mut Transaction<'_>| {
                let mut image = tx.get::<Image>(&namespace, &update.name)?;
                let before = image.target.clone();
                apply(&mut image, update, update_mask.as_ref());
                image.updated_at = Some(source_date_epoch.unwrap_or_else(now));
                tx.put(&namespace, &image)?;
                let freed = before != image.target;
                Ok::<_, Error>((image, freed))
            };
            let (image, freed) = supervisor.store.update(change).await?;
            let event = ImageUpdate { name: image.name.clone(), labels: image.labels.clone() };
            supervisor.events.publish(&namespace, topics::IMAGE_UPDATE, &event);
            Ok::<_, Error>((image, freed))
        })
        .await?;
        if freed {
            self.0.collector.schedule();
        }
        Ok(Response::new(UpdateImageResponse { image: Some(image) }))
    }

    async fn delete(&self, request: Request<DeleteImageRequest>) -> Answer<()> {
        let namespace = scope(request.metadata())?.namespace;
        let DeleteImageRequest { name, sync, target } = request.into_inner();
        let supervisor = self.0.clone();
        to_its_end(async move {
            let change = |tx: &mut Transaction<'_>| {
                let image = tx.remove::<Image>(&namespace, &name)?;
                let digest = |target: Option<_>| {
                    target.map(|t: contracts_supervisor_api::types::Descriptor| t.digest)
                };
                // The name has been pointed elsewhere meanwhile: what was meant is not there.
                if target.is_some() && digest(target) != digest(image.target) {
                    return Err(Error::NotFound {
                        noun: "image with this target",
                        name: name.clone(),
                    });
                }
                Ok(())
            };
            supervisor.store.update(change).await?;
            supervisor.events.publish(&namespace, topics::IMAGE_DELETE, &ImageDelete { name });
            if sync {
                supervisor.collector.collect().await
            } else {
                supervisor.collector.schedule();
                Ok(())
            }
        })
        .await?;
        Ok(Response::new(()))
    }
}

fn lease<T>(request: &Request<T>) -> Option<String> {
    metadata::text(request.metadata(), metadata::LEASE)
        .filter(|lease| !lease.is_empty())
        .map(str::to_owned)
}

fn validate(image: &Image) -> Result<(), Status> {
    if image.name.is_empty() || image.name.len() > MAX_NAME || image.name.contains('\0') {
        return Err(Status::invalid_argument("image.name must be a text of 1 to 4096 bytes"));
    }
    validate_target(image)
}

fn validate_target(image: &Image) -> Result<(), Status> {
    match &image.target {
        Some(target) if !target.digest.is_empty() && target.size >= 0 => Ok(()),
        _ => Err(Status::invalid_argument("image.target needs a digest and a size")),
    }
}

fn check(name: &str, mask: Option<&FieldMask>) -> Result<(), Status> {
    for path in paths(mask).unwrap_or_default() {
        let known = matches!(path.as_str(), "labels" | "target" | "annotations");
        if !known && !path.starts_with("labels.") && !path.starts_with("annotations.") {
            return Err(refuse(path, "image", name));
        }
    }
    Ok(())
}

fn apply(image: &mut Image, mut update: Image, mask: Option<&FieldMask>) {
    let all = ["labels", "target"].map(str::to_owned);
    for path in paths(mask).unwrap_or(&all) {
        match path.as_str() {
            "labels" => image.labels = update.labels.clone(),
            "target" => image.target = update.target.clone(),
            other => {
                if let Some(key) = other.strip_prefix("labels.") {
                    take_entry(&mut image.labels, &mut update.labels, key);
                    continue;
                }
                let (Some(into), Some(from)) = (&mut image.target, &mut update.target) else {
                    continue;
                };
                match other.strip_prefix("annotations.") {
                    Some(key) => take_entry(&mut into.annotations, &mut from.annotations, key),
                    None => into.annotations.clone_from(&from.annotations),
                }
            }
        }
    }
    drop_empty(&mut image.labels);
}
