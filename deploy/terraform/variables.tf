variable "bucket" {
  description = "The bucket to make."
  type        = string
}

variable "name" {
  description = "What the policies' names begin with."
  type        = string
  default     = "imgctl"
}

variable "prefix" {
  description = "The prefix of [store] url with its slash, empty for the whole bucket."
  type        = string
  default     = ""
}

variable "keep_versions_days" {
  description = "How long what was overwritten or deleted can be brought back; 180 where originals lie in DEEP_ARCHIVE."
  type        = number
  default     = 90
}
