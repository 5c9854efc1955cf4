variable "bucket" {
  description = "The name of the bucket to create."
  type        = string
}

variable "name" {
  description = "The prefix of the policies' names."
  type        = string
  default     = "imgctl"
}

variable "prefix" {
  description = "The prefix in [store] url with its slash; empty for the whole bucket."
  type        = string
  default     = ""
}

variable "keep_versions_days" {
  description = "How many days overwritten and deleted versions are kept; use 180 if originals are in DEEP_ARCHIVE."
  type        = number
  default     = 90
}
