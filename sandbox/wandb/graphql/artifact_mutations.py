"""W&B's mutations on artifacts. Field names: see wandb_graphql.py."""

from collections.abc import Sequence
from dataclasses import dataclass

from sandbox.wandb.artifacts import LATEST, Artifact, Collection
from sandbox.wandb.files import MANIFESTS, artifact_file_path
from sandbox.wandb.graphql.artifact_nodes import ArtifactNode, ManifestNode, MembershipNode
from sandbox.wandb.graphql.file_nodes import UploadNode
from sandbox.wandb.graphql.inputs import (
    AddAliasesInput,
    ArtifactCollectionAliasInput,
    CommitArtifactInput,
    CreateArtifactFilesInput,
    CreateArtifactFileSpecInput,
    CreateArtifactInput,
    CreateArtifactManifestInput,
    DeleteAliasesInput,
    DeleteArtifactInput,
    LinkArtifactInput,
    TagInput,
    UnlinkArtifactInput,
    UpdateArtifactInput,
    UseArtifactInput,
)
from sandbox.wandb.graphql.paging import Connection, page
from sandbox.wandb.graphql.run_mutations import Success, Writer
from sandbox.wandb.rules import (
    RefusedError,
    check_alias,
    check_artifact_tags,
    invalid,
    not_found,
    parsed_metadata,
)
from sandbox.wandb.runs import Run
from sandbox.wandb.store import decoded_id


@dataclass(frozen=True)
class ArtifactPayload:
    """The version."""

    artifact: ArtifactNode


@dataclass(frozen=True)
class ArtifactManifestPayload:
    """The manifest, and where to upload it."""

    artifact_manifest: ManifestNode


@dataclass(frozen=True)
class CreateArtifactFilesPayload:
    """Where to upload, in the order asked."""

    files: Connection[UploadNode]


@dataclass(frozen=True)
class LinkArtifactPayload:
    """The version's place in the portfolio."""

    version_index: int
    artifact_membership: MembershipNode


class ArtifactMutations(Writer):
    """Mutations on artifacts."""

    def create_artifact(self, given: CreateArtifactInput) -> ArtifactPayload:
        """Begin a version; content that the collection has already is that version, and takes the aliases.

        Whether `latest` then goes back to an older version is UNVERIFIED; here it does when the client asks for it.
        """
        store = self.context.store
        entity = self.writable(given.entity_name, "createArtifact")
        run = self._run_of(given)
        project = store.add_project(entity.name, given.project_name, self.context.user)
        sequence = store.add_collection(project, self._collection_name(given), given.artifact_type_name)
        aliases = _checked_aliases([each.alias for each in given.aliases or ()])
        known = sequence.with_digest(given.digest) if given.enable_digest_deduplication else None
        if known:
            sequence.point(aliases, known)
            artifact = known
        else:
            artifact = store.add_artifact(sequence, given.digest, run)
            self._describe(artifact, given)
            artifact.wanted_aliases = aliases
        if given.client_id:
            store.remember_client_id(given.client_id, artifact)
        if run and artifact not in run.logged:
            run.logged.append(artifact)
        return ArtifactPayload(ArtifactNode(artifact, self.context))

    def _run_of(self, given: CreateArtifactInput) -> Run | None:
        if given.run_name is None:
            return None
        return self.named_run(given.entity_name, given.project_name, given.run_name, "createArtifact")

    def _collection_name(self, given: CreateArtifactInput) -> str:
        names = given.artifact_collection_names or [given.artifact_collection_name or ""]
        if len(names) != 1:
            raise RefusedError(501, "the sandbox does not model a version of several collections at once")
        return names[0]

    def _describe(self, artifact: Artifact, given: CreateArtifactInput) -> None:
        artifact.description = given.description
        artifact.metadata = parsed_metadata(given.metadata)
        artifact.tags = _checked_tags(given.tags)
        artifact.history_step = given.history_step
        artifact.ttl_seconds = given.ttl_duration_seconds

    def create_artifact_manifest(self, given: CreateArtifactManifestInput) -> ArtifactManifestPayload:
        """Where the manifest goes. The client asks twice: first before it knows what is in it."""
        if given.type not in (None, "FULL"):
            raise RefusedError(501, f"the sandbox does not model {given.type} manifests")
        artifact = self._pending(given.artifact_id, "createArtifactManifest")
        artifact.manifest_path = f"{MANIFESTS}{artifact.id}/{given.name}"
        return ArtifactManifestPayload(
            ManifestNode(artifact.id, UploadNode(given.name, artifact.manifest_path, self.context))
        )

    def create_artifact_files(self, given: CreateArtifactFilesInput) -> CreateArtifactFilesPayload:
        """Where files go; what is stored already needs no upload."""
        return CreateArtifactFilesPayload(page([self._upload(spec) for spec in given.artifact_files]))

    def _upload(self, spec: CreateArtifactFileSpecInput) -> UploadNode:
        if spec.upload_parts_input:
            raise RefusedError(501, "the sandbox does not model multipart uploads")
        artifact = self._pending(spec.artifact_id, "createArtifactFiles")
        path = artifact_file_path(artifact.project_number, spec.md5)
        wanted = self.context.store.storage.get(path) is None
        return UploadNode(spec.name, path, self.context, wanted, ArtifactNode(artifact, self.context))

    def commit_artifact(self, given: CommitArtifactInput) -> ArtifactPayload:
        """Make it a version; committing again changes nothing."""
        artifact = self._stored(given.artifact_id, "commitArtifact")
        if artifact.state == "PENDING":
            artifact.commit()
        return ArtifactPayload(ArtifactNode(artifact, self.context))

    def use_artifact(self, given: UseArtifactInput) -> ArtifactPayload:
        """A run takes a version as input; saying it again changes nothing."""
        run = self.named_run(given.entity_name, given.project_name, given.run_name, "useArtifact")
        artifact = self.context.store.artifact(given.artifact_id)
        if artifact is None or self.context.visible(artifact.sequence.entity) is None:
            raise not_found(f"artifact {given.artifact_id}")
        if artifact not in run.used:
            run.used.append(artifact)
            artifact.used_by.append(run)
        return ArtifactPayload(ArtifactNode(artifact, self.context))

    def update_artifact(self, given: UpdateArtifactInput) -> ArtifactPayload:
        """Edit a version's description, metadata, tags, aliases, lifetime."""
        artifact = self._stored(given.artifact_id, "updateArtifact")
        if given.description is not None:
            artifact.description = given.description
        if given.metadata is not None:
            artifact.metadata = parsed_metadata(given.metadata)
        if given.ttl_duration_seconds is not None:
            artifact.ttl_seconds = given.ttl_duration_seconds
        for alias in given.aliases or ():
            artifact.sequence.point(_checked_aliases([alias.alias]), artifact)
        gone = _checked_tags(given.tags_to_delete)
        kept = [tag for tag in artifact.tags if tag not in gone]
        artifact.tags = list(dict.fromkeys([*kept, *_checked_tags(given.tags_to_add)]))
        artifact.updated_at = self.context.store.clock.time()
        return ArtifactPayload(ArtifactNode(artifact, self.context))

    def delete_artifact(self, given: DeleteArtifactInput) -> ArtifactPayload:
        """Take a version away; one with aliases of its own only when asked to (status and wording UNVERIFIED)."""
        artifact = self._stored(given.artifact_id, "deleteArtifact")
        aliases = [alias for alias in artifact.aliases if alias != LATEST]
        if aliases and not given.delete_aliases:
            raise invalid(f"artifact {artifact.name} cannot be deleted: it has aliases {', '.join(aliases)}")
        self.context.store.delete_artifact(artifact)
        return ArtifactPayload(ArtifactNode(artifact, self.context))

    def add_aliases(self, given: AddAliasesInput) -> Success:
        """Move aliases to a version."""
        artifact = self._stored(given.artifact_id, "addAliases")
        for each in given.aliases:
            self._place(each, "addAliases").point(_checked_aliases([each.alias]), artifact)
        return Success()

    def delete_aliases(self, given: DeleteAliasesInput) -> Success:
        """Take aliases from a version."""
        artifact = self._stored(given.artifact_id, "deleteAliases")
        for each in given.aliases:
            place = self._place(each, "deleteAliases")
            if each.alias in place.aliases_of(artifact):
                del place.by_alias[each.alias]
        return Success()

    def link_artifact(self, given: LinkArtifactInput) -> LinkArtifactPayload:
        """Put a version into a portfolio of a project that exists, as a registry does; linking again moves aliases."""
        store = self.context.store
        entity = self.writable(given.entity_name, "linkArtifact")
        artifact = store.artifact(given.artifact_id or "") or store.by_client_id(given.client_id or "")
        if artifact is None or artifact.state != "COMMITTED" or self.context.visible(artifact.sequence.entity) is None:
            raise not_found(f"artifact {given.artifact_id or given.client_id}")
        project = store.project(entity.name, given.project_name or "")
        if project is None:
            raise not_found(f"project {entity.name}/{given.project_name}")
        portfolio = store.add_collection(project, given.artifact_portfolio_name or "", artifact.type, portfolio=True)
        member = portfolio.membership_of(artifact) or portfolio.adopt(artifact)
        portfolio.point(_checked_aliases([each.alias for each in given.aliases or ()]), artifact)
        return LinkArtifactPayload(member.index, MembershipNode(member, self.context))

    def unlink_artifact(self, given: UnlinkArtifactInput) -> Success:
        """Take a version out of a portfolio."""
        match decoded_id(given.artifact_portfolio_id):
            case ["ArtifactCollection", number] if number.isdigit():
                portfolio = self.context.store.collection_by_number(int(number))
            case _:
                portfolio = None
        artifact = self.context.store.artifact(given.artifact_id)
        if portfolio is None or not portfolio.portfolio or artifact is None:
            raise not_found(f"artifact portfolio {given.artifact_portfolio_id}")
        self.writable(portfolio.entity, "unlinkArtifact")
        portfolio.drop(artifact)
        return Success()

    def _stored(self, artifact_id: str, operation: str) -> Artifact:
        artifact = self.context.store.artifact(artifact_id)
        if artifact is None:
            raise not_found(f"artifact {artifact_id}")
        self.writable(artifact.sequence.entity, operation)
        return artifact

    def _pending(self, artifact_id: str, operation: str) -> Artifact:
        artifact = self._stored(artifact_id, operation)
        if artifact.state != "PENDING":
            raise invalid(f"artifact {artifact_id} is {artifact.state}, its content cannot change")
        return artifact

    def _place(self, given: ArtifactCollectionAliasInput, operation: str) -> Collection:
        self.writable(given.entity_name, operation)
        project = self.context.store.project(given.entity_name, given.project_name)
        found = project.collections.get(given.artifact_collection_name) if project else None
        if found is None:
            raise not_found(f"artifact collection {given.artifact_collection_name}")
        return found


def _checked_aliases(aliases: Sequence[str]) -> list[str]:
    for alias in aliases:
        check_alias(alias)
    return list(aliases)


def _checked_tags(tags: Sequence[TagInput] | None) -> list[str]:
    names = [tag.tag_name for tag in tags or ()]
    check_artifact_tags(names)
    return names
