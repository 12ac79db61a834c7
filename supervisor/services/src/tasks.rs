//! `containerd.services.tasks.v1.Tasks`.

mod convert;

use crate::Supervisor;
use crate::call::{Answer, answer, filters, scope, to_its_end};
use contracts_shim_api::task::{
    CloseIoRequest as ShimCloseIo, ExecProcessRequest as ShimExec, KillRequest as ShimKill, Method,
    PauseRequest, PidsRequest, PidsResponse, ResizePtyRequest as ShimResize, ResumeRequest,
    StateResponse, StatsRequest, StatsResponse, UpdateTaskRequest as ShimUpdate,
};
use contracts_supervisor_api::services::containers::Container;
use contracts_supervisor_api::services::tasks::tasks_server::Tasks;
use contracts_supervisor_api::services::tasks::{
    CheckpointTaskRequest, CheckpointTaskResponse, CloseIoRequest, CreateTaskRequest,
    CreateTaskResponse, DeleteProcessRequest, DeleteResponse, DeleteTaskRequest,
    ExecProcessRequest, GetRequest, GetResponse, KillRequest, ListPidsRequest, ListPidsResponse,
    ListTasksRequest, ListTasksResponse, MetricsRequest, MetricsResponse, PauseTaskRequest,
    ResizePtyRequest, ResumeTaskRequest, StartRequest, StartResponse, UpdateTaskRequest,
    WaitRequest, WaitResponse,
};
use contracts_supervisor_api::types::{Metric, Process};
use convert::TaskFields;
use supervisor_metadata::now;
use supervisor_tasks::{NewTask, Scope};
use tonic::{Request, Response, Status, async_trait};

/// The runtime of a container whose record names none.
const DEFAULT_RUNTIME: &str = "io.containerd.gantry.v2";

/// The service.
#[derive(Clone)]
pub struct TasksService(pub Supervisor);

impl TasksService {
    /// The task that a request and the container's record describe.
    fn describe(&self, scope: &Scope, request: CreateTaskRequest) -> Result<NewTask, Status> {
        if request.checkpoint.is_some() {
            return Err(Status::unimplemented("restoring from a checkpoint is not implemented"));
        }
        if !request.task_api_address.is_empty() {
            return Err(Status::unimplemented("tasks in a sandbox are not implemented"));
        }
        let id = request.container_id;
        let container: Container = answer(self.0.store.get(&scope.namespace, &id))?;
        let spec = container.spec.ok_or_else(|| {
            Status::failed_precondition(format!("container {id:?} has no specification"))
        })?;
        let runtime = container.runtime.unwrap_or_default();
        let name = [request.runtime_path, runtime.name, DEFAULT_RUNTIME.to_owned()]
            .into_iter()
            .find(|name| !name.is_empty())
            .unwrap_or_default();
        Ok(NewTask {
            id,
            runtime: name,
            spec: spec.value,
            rootfs: request.rootfs.into_iter().map(convert::mount).collect(),
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
            terminal: request.terminal,
            options: request.options.or(runtime.options),
        })
    }

    /// A process as its shim describes it; with a state that is unknown where the shim is there and
    /// does not answer.
    async fn process(&self, scope: &Scope, id: &str, exec_id: &str) -> Result<Process, Status> {
        match self.0.tasks.state(scope, id, exec_id).await {
            Err(error) if matches!(error, supervisor_tasks::Error::Timeout(_)) => {
                tracing::warn!(container = id, %error, "a task's state is unknown");
                Ok(convert::process(id, exec_id, StateResponse::default()))
            }
            asked => Ok(convert::process(id, exec_id, answer(asked)?)),
        }
    }
}

#[async_trait]
impl Tasks for TasksService {
    async fn create(&self, request: Request<CreateTaskRequest>) -> Answer<CreateTaskResponse> {
        let scope = scope(request.metadata())?;
        let new = self.describe(&scope, request.into_inner())?;
        let (tasks, container_id) = (self.0.tasks.clone(), new.id.clone());
        let pid = to_its_end(async move { tasks.create(&scope, new).await }).await?;
        Ok(Response::new(CreateTaskResponse { container_id, pid }))
    }

    async fn start(&self, request: Request<StartRequest>) -> Answer<StartResponse> {
        let scope = scope(request.metadata())?;
        let StartRequest { container_id, exec_id } = request.into_inner();
        let tasks = self.0.tasks.clone();
        let start = async move { tasks.start(&scope, &container_id, &exec_id).await };
        Ok(Response::new(StartResponse { pid: to_its_end(start).await? }))
    }

    async fn delete(&self, request: Request<DeleteTaskRequest>) -> Answer<DeleteResponse> {
        let scope = scope(request.metadata())?;
        let id = request.into_inner().container_id;
        let tasks = self.0.tasks.clone();
        let response = to_its_end(async move {
            let deleted = tasks.delete(&scope, &id).await?;
            Ok::<_, supervisor_tasks::Error>(convert::deleted(id, &deleted))
        })
        .await?;
        Ok(Response::new(response))
    }

    async fn delete_process(
        &self,
        request: Request<DeleteProcessRequest>,
    ) -> Answer<DeleteResponse> {
        let scope = scope(request.metadata())?;
        let DeleteProcessRequest { container_id, exec_id } = request.into_inner();
        let tasks = self.0.tasks.clone();
        let response = to_its_end(async move {
            let deleted = tasks.delete_process(&scope, &container_id, &exec_id).await?;
            Ok::<_, supervisor_tasks::Error>(convert::deleted(exec_id, &deleted))
        })
        .await?;
        Ok(Response::new(response))
    }

    async fn get(&self, request: Request<GetRequest>) -> Answer<GetResponse> {
        let scope = scope(request.metadata())?;
        let GetRequest { container_id, exec_id } = request.get_ref();
        let process = self.process(&scope, container_id, exec_id).await?;
        Ok(Response::new(GetResponse { process: Some(process) }))
    }

    async fn list(&self, request: Request<ListTasksRequest>) -> Answer<ListTasksResponse> {
        let scope = scope(request.metadata())?;
        let filters = filters(&[&request.get_ref().filter])?;
        let ids = self.0.tasks.list(&scope.namespace);
        let asked = ids.iter().map(|id| self.process(&scope, id, ""));
        let answers = futures_util::future::join_all(asked).await;
        // One that was deleted since it was listed is no task any more.
        let tasks = answers.into_iter().flatten();
        let tasks = tasks.filter(|task| filters.matches(&TaskFields(&task.id))).collect();
        Ok(Response::new(ListTasksResponse { tasks }))
    }

    async fn kill(&self, request: Request<KillRequest>) -> Answer<()> {
        let scope = scope(request.metadata())?;
        let KillRequest { container_id, exec_id, signal, all } = request.into_inner();
        let request = ShimKill { id: container_id, exec_id, signal, all };
        let tasks = self.0.tasks.clone();
        to_its_end(async move { tasks.kill(&scope, &request).await }).await?;
        Ok(Response::new(()))
    }

    async fn exec(&self, request: Request<ExecProcessRequest>) -> Answer<()> {
        let scope = scope(request.metadata())?;
        let request = request.into_inner();
        if request.exec_id.is_empty() {
            return Err(Status::invalid_argument("exec_id is required"));
        }
        let request = ShimExec {
            id: request.container_id,
            exec_id: request.exec_id,
            terminal: request.terminal,
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
            spec: request.spec,
        };
        let tasks = self.0.tasks.clone();
        to_its_end(async move { tasks.exec(&scope, &request).await }).await?;
        Ok(Response::new(()))
    }

    async fn resize_pty(&self, request: Request<ResizePtyRequest>) -> Answer<()> {
        let scope = scope(request.metadata())?;
        let ResizePtyRequest { container_id, exec_id, width, height } = request.into_inner();
        let request = ShimResize { id: container_id.clone(), exec_id, width, height };
        answer(self.0.tasks.call(&scope, &container_id, Method::ResizePty, &request).await)
            .map(Response::new)
    }

    async fn close_io(&self, request: Request<CloseIoRequest>) -> Answer<()> {
        let scope = scope(request.metadata())?;
        let CloseIoRequest { container_id, exec_id, stdin } = request.into_inner();
        let request = ShimCloseIo { id: container_id.clone(), exec_id, stdin };
        answer(self.0.tasks.call(&scope, &container_id, Method::CloseIo, &request).await)
            .map(Response::new)
    }

    async fn pause(&self, request: Request<PauseTaskRequest>) -> Answer<()> {
        let scope = scope(request.metadata())?;
        let request = PauseRequest { id: request.into_inner().container_id };
        let tasks = self.0.tasks.clone();
        let pause = async move { tasks.call(&scope, &request.id, Method::Pause, &request).await };
        to_its_end(pause).await.map(Response::new)
    }

    async fn resume(&self, request: Request<ResumeTaskRequest>) -> Answer<()> {
        let scope = scope(request.metadata())?;
        let request = ResumeRequest { id: request.into_inner().container_id };
        let tasks = self.0.tasks.clone();
        let resume = async move { tasks.call(&scope, &request.id, Method::Resume, &request).await };
        to_its_end(resume).await.map(Response::new)
    }

    async fn list_pids(&self, request: Request<ListPidsRequest>) -> Answer<ListPidsResponse> {
        let scope = scope(request.metadata())?;
        let request = PidsRequest { id: request.into_inner().container_id };
        let asked = self.0.tasks.call(&scope, &request.id, Method::Pids, &request).await;
        let pids: PidsResponse = answer(asked)?;
        let processes = pids.processes.into_iter().map(convert::process_info).collect();
        Ok(Response::new(ListPidsResponse { processes }))
    }

    async fn checkpoint(
        &self,
        _: Request<CheckpointTaskRequest>,
    ) -> Answer<CheckpointTaskResponse> {
        Err(Status::unimplemented("checkpoints are not implemented"))
    }

    async fn update(&self, request: Request<UpdateTaskRequest>) -> Answer<()> {
        let scope = scope(request.metadata())?;
        let UpdateTaskRequest { container_id, resources, annotations } = request.into_inner();
        let annotations = annotations.into_iter().collect();
        let request = ShimUpdate { id: container_id, resources, annotations };
        let tasks = self.0.tasks.clone();
        let update = async move { tasks.call(&scope, &request.id, Method::Update, &request).await };
        to_its_end(update).await.map(Response::new)
    }

    async fn metrics(&self, request: Request<MetricsRequest>) -> Answer<MetricsResponse> {
        let scope = scope(request.metadata())?;
        let filters = filters(&request.get_ref().filters)?;
        let mut ids = self.0.tasks.list(&scope.namespace);
        ids.retain(|id| filters.matches(&TaskFields(id)));
        let (scope, tasks) = (&scope, &self.0.tasks);
        let asked = ids.into_iter().map(async |id| {
            let request = StatsRequest { id: id.clone() };
            match tasks.call::<StatsResponse>(scope, &id, Method::Stats, &request).await {
                Ok(response) => Some(Metric { timestamp: Some(now()), id, data: response.stats }),
                Err(error) => {
                    // It ended meanwhile, mostly.
                    let error = base_errors::Chain(&error);
                    tracing::debug!(container = %id, %error, "task tells no metrics");
                    None
                }
            }
        });
        let metrics = futures_util::future::join_all(asked).await.into_iter().flatten().collect();
        Ok(Response::new(MetricsResponse { metrics }))
    }

    async fn wait(&self, request: Request<WaitRequest>) -> Answer<WaitResponse> {
        let scope = scope(request.metadata())?;
        let WaitRequest { container_id, exec_id } = request.get_ref();
        let exit = answer(self.0.tasks.wait(&scope, container_id, exec_id).await)?;
        Ok(Response::new(WaitResponse { exit_status: exit.status, exited_at: Some(exit.at) }))
    }
}
