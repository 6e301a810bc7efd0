"""What the codes in a citation stand for, as an API shows it beside the citation."""

from pydantic import BaseModel, computed_field

from services.events import lanes


class SourceView(BaseModel):
    """A code of docs/legal-sources.md with the title of its source and the article."""

    code: str
    title: str
    article: str


class Cited(BaseModel):
    """A view with a citation; ``sources`` says it in full, empty for a site value."""

    citation: str

    @computed_field  # type: ignore[prop-decorator]  # pydantic's own way to write it
    @property
    def sources(self) -> list[SourceView]:
        """Title and article behind every code in the citation."""
        return [
            SourceView(code=found.code, title=found.title, article=found.article)
            for found in lanes.sources_of(self.citation)
        ]
